from __future__ import annotations

import base64
import copy
import logging
import os
import pickle

import pytest

from sparse_ir.engines import credentials
from sparse_ir.engines.credentials import Credentials, load_credentials
from sparse_ir.errors import ConfigError

URL = "https://a:9200"


@pytest.fixture(autouse=True)
def warn_again():
    credentials._warn_once.cache_clear()


def write(own_home, text, mode=0o600):
    path = own_home / "credentials.yaml"
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def header(**environ):
    return load_credentials([URL], environ).headers().get("authorization")


def test_without_settings_no_header_is_sent_and_tls_is_verified():
    found = load_credentials([URL], {})
    assert (found.kind, found.headers(), found.verify_tls) == (None, {}, True)


def test_each_kind_becomes_its_header():
    encoded = base64.b64encode(b"id:key").decode()
    assert header(SPARSE_IR_API_KEY=encoded) == f"ApiKey {encoded}"
    assert header(SPARSE_IR_API_KEY="id:key\n") == f"ApiKey {encoded}"
    assert header(SPARSE_IR_BEARER_TOKEN="abc") == "Bearer abc"
    basic = header(SPARSE_IR_USERNAME="u", SPARSE_IR_PASSWORD="pä:☃")
    assert basic == "Basic " + base64.b64encode("u:pä:☃".encode()).decode()


def test_an_aws_region_means_signing():
    found = load_credentials([URL], {"SPARSE_IR_AWS_REGION": "eu-west-1"})
    assert (found.aws_region, found.aws_service, found.headers()) == ("eu-west-1", "es", {})


@pytest.mark.parametrize(
    "environ",
    [
        {"SPARSE_IR_API_KEY": "hunter2", "SPARSE_IR_BEARER_TOKEN": "hunter2"},
        {"SPARSE_IR_PASSWORD": "hunter2"},
        {"SPARSE_IR_USERNAME": "hunter2"},
        {"SPARSE_IR_USERNAME": "hun:ter2", "SPARSE_IR_PASSWORD": "hunter2"},
        {"SPARSE_IR_API_KEY": "hunter2 ü"},
        {"SPARSE_IR_BEARER_TOKEN": "hunter2\r\nX-Other: 1"},
        {"SPARSE_IR_AWS_REGION": "eu", "SPARSE_IR_AWS_SERVICE": "s3"},
        {"SPARSE_IR_AWS_REGION": "eu", "SPARSE_IR_API_KEY": "hunter2"},
        {"SPARSE_IR_CLIENT_KEY": "key.pem"},
        {"SPARSE_IR_VERIFY_TLS": "perhaps"},
    ],
)
def test_settings_that_contradict_each_other_are_one_line_without_the_secret(environ):
    with pytest.raises(ConfigError) as caught:
        load_credentials([URL], environ)
    assert "\n" not in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert "SPARSE_IR" in str(caught.value) or "both set" in str(caught.value)


def test_credentials_show_no_secret_and_cannot_be_stored():
    found = Credentials({"username": "someone", "password": "hunter2"})
    for text in (repr(found), str(found), f"{found!r:>5}", found.settings()):
        assert "hunter2" not in text
        assert "someone" not in text
    for store in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="pickled"):
            store(found)
    assert not hasattr(found, "__dict__")


def test_the_file_has_an_entry_for_each_cluster(own_home):
    write(
        own_home,
        'https://a:9200:\n  api_key: "abc"\n"https://b,https://c:443/":\n  username: u\n'
        "  password: p\n  verify_tls: false\n",
    )
    assert load_credentials(["https://a:9200"], {}).kind == "API key"
    two = load_credentials(["https://b:443", "https://c:443"], {})
    assert (two.kind, two.verify_tls) == ("user name and password", False)
    assert load_credentials(["https://other:443"], {}).kind is None


def test_nodes_of_one_cluster_never_get_the_credentials_of_another(own_home):
    write(own_home, 'https://a:9200:\n  api_key: "abc"\n')
    with pytest.raises(ConfigError, match="one entry"):
        load_credentials(["https://a:9200", "https://evil:443"], {})


def test_a_variable_wins_over_the_entry_and_completes_it(own_home):
    write(own_home, 'https://a:9200:\n  username: u\n  password: "old"\n')
    found = load_credentials([URL], {"SPARSE_IR_PASSWORD": "new"})
    assert found.headers()["authorization"] == "Basic " + base64.b64encode(b"u:new").decode()


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_file_that_others_may_read_is_refused(own_home, mode):
    path = write(own_home, "", mode)
    with pytest.raises(ConfigError, match=f"chmod 600 {path}"):
        load_credentials([URL], {})


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_a_file_that_is_no_regular_file_is_refused(tmp_path, make):
    path = tmp_path / "credentials.yaml"
    make(path, 0o600)
    with pytest.raises(ConfigError, match="not a regular file"):
        load_credentials([URL], {"SPARSE_IR_CREDENTIALS": str(path)})


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="no owners on this system")
def test_a_file_of_another_user_is_refused(own_home, monkeypatch):
    write(own_home, "")
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.raises(ConfigError, match="another user"):
        load_credentials([URL], {})


def test_a_file_that_is_named_must_exist(tmp_path):
    with pytest.raises(ConfigError, match="does not exist"):
        load_credentials([URL], {"SPARSE_IR_CREDENTIALS": str(tmp_path / "none.yaml")})


@pytest.mark.parametrize(
    "text",
    [
        "https://a:9200: {api_key: hunter2",
        "https://a:9200:\n  password: 'hunter2\n",
        "- hunter2",
        "hunter2",
        "https://a:9200: hunter2",
        'https://u:hunter2@a:9200:\n  api_key: "abc"\n',
        "https://a:9200:\n  username: u\n  password: 0123\n",
        "https://a:9200:\n  apikey: hunter2\n",
        "https://a:9200:\n  username: hunter2\n  password: 2024-13-01\n",
    ],
)
def test_a_damaged_file_is_one_line_that_repeats_nothing_of_it(own_home, text):
    write(own_home, text)
    with pytest.raises(ConfigError) as caught:
        load_credentials([URL], {})
    assert "\n" not in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert "0123" not in str(caught.value)


def test_credentials_in_the_clear_are_warned_about_once_and_not_on_this_machine(caplog):
    key = {"SPARSE_IR_API_KEY": "hunter2"}
    with caplog.at_level(logging.WARNING):
        load_credentials(["http://localhost:9200", "http://127.0.0.1:1", "http://[::1]:1"], key)
        assert not caplog.records
        load_credentials(["http://far.example:9200"], key)
        load_credentials(["http://far.example:9200"], key)
    assert [r.levelname for r in caplog.records] == ["WARNING"]
    assert "in the clear" in caplog.text
    assert "hunter2" not in caplog.text


def test_turning_verification_off_is_warned_about_once(caplog):
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            load_credentials([URL], {"SPARSE_IR_VERIFY_TLS": "false"})
    assert len(caplog.records) == 1
    assert "not checked" in caplog.text
