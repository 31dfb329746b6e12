from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparse_ir.engines.addresses import merge, parse_cluster_address
from sparse_ir.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "flavour", "urls"),
    [
        ("http://localhost", None, ("http://localhost:9200",)),
        ("https://search.example", None, ("https://search.example:443",)),
        ("opensearch:http://a:1", "opensearch", ("http://a:1",)),
        ("elasticsearch:https://a/es/", "elasticsearch", ("https://a:443/es",)),
        ("HTTPS://A.Example:9200", None, ("https://a.example:9200",)),
        ("http://[::1]:9200", None, ("http://[::1]:9200",)),
        ("opensearch:http://a, http://b:2,http://a", "opensearch", ("http://a:9200", "http://b:2")),
    ],
)
def test_an_address_says_the_flavour_and_every_node(text, flavour, urls):
    address = parse_cluster_address(text)
    assert (address.flavour, address.urls, address.cloud_id) == (flavour, urls, None)
    assert parse_cluster_address(str(address)) == address


def test_a_cloud_id_holds_the_address_of_its_deployment():
    cloud_id = "name:" + base64.b64encode(b"eu-west-1.aws.example:9243$abc123$kib").decode()
    address = parse_cluster_address(f"elasticsearch:cloud:{cloud_id}")
    assert address.urls == ("https://abc123.eu-west-1.aws.example:9243",)
    assert str(address) == f"elasticsearch:cloud:{cloud_id}"
    assert parse_cluster_address(str(address)) == address


@pytest.mark.parametrize("cloud_id", ["", "name:", "name:!!", "name:YWJj", "name:JCQ="])
def test_what_is_no_cloud_id_is_said_in_one_line(cloud_id):
    with pytest.raises(ConfigError, match=r"cloud id|cloud:ID"):
        parse_cluster_address(f"elasticsearch:cloud:{cloud_id}")


def test_a_bare_flavour_takes_the_url_of_the_environment():
    environ = {"SPARSE_IR_URL": "https://a:1,https://b:2"}
    assert str(parse_cluster_address("opensearch", environ)) == (
        "opensearch:https://a:1,https://b:2"
    )
    assert str(parse_cluster_address("elasticsearch", {})) == "elasticsearch:http://localhost:9200"
    with pytest.raises(ConfigError, match="opensearch"):
        parse_cluster_address("elasticsearch", {"SPARSE_IR_URL": "opensearch:http://a"})


@pytest.mark.parametrize(
    "text",
    [
        "http://elastic:hunter2@a:9200",
        "opensearch:http://a,https://elastic:hunter2@b",
        "https://hunter2@a",
        "http//elastic:hunter2@a",
        "https://a?api_key=hunter2",
    ],
)
def test_credentials_in_a_url_are_refused_and_not_repeated(text):
    for call in (
        lambda: parse_cluster_address(text),
        lambda: merge(None, text),
        lambda: parse_cluster_address("opensearch", {"SPARSE_IR_URL": text}),
    ):
        with pytest.raises(ConfigError) as caught:
            call()
        assert "hunter2" not in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "", "ftp://a", "http://", "http://a:b", "http://a:0", "http://a:70000", "http:a", "a:9200",
        "http://a b", "http://a..b", "http://é", "http://[::1", "http://a,,http://b", "http://a/é",
        "opensearch:cloud:abc", "opensearch:a:9200",
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused(text):
    with pytest.raises(ConfigError):
        parse_cluster_address(text)


@given(st.text())
def test_any_text_is_an_address_that_parses_back_or_a_config_error(text):
    try:
        address = parse_cluster_address(text, {})
    except ConfigError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert parse_cluster_address(str(address), {}) == address


@pytest.mark.parametrize(
    ("engine", "url", "meaning"),
    [
        (None, None, "embedded"),
        ("memory", None, "memory"),
        ("opensearch", None, "opensearch"),
        (None, "http://a:1", "http://a:1"),
        (None, "opensearch:http://a:1", "opensearch:http://a:1"),
        ("opensearch", "http://a:1", "opensearch:http://a:1"),
        ("opensearch", "opensearch:http://a:1", "opensearch:http://a:1"),
    ],
)
def test_engine_and_url_are_one_address(engine, url, meaning):
    assert merge(engine, url) == meaning


def test_a_cloud_id_may_stand_in_url():
    cloud = "cloud:n:" + base64.b64encode(b"eu.example$abc$kib").decode()
    assert merge(None, cloud) == f"elasticsearch:{cloud}"
    assert merge("elasticsearch", cloud) == f"elasticsearch:{cloud}"


@pytest.mark.parametrize(
    ("engine", "url"),
    [
        ("embedded", "http://a"),
        ("memory:x", "http://a"),
        ("opensearch", "elasticsearch:http://a"),
        ("opensearch:http://a", "http://b"),
        ("http://a", "http://b"),
        ("opensearch", ""),
        ("opensearch", "cloud:abc"),
    ],
)
def test_engine_and_url_that_do_not_go_together_are_refused(engine, url):
    with pytest.raises(ConfigError):
        merge(engine, url)
