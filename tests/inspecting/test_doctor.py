"""What ``doctor`` finds, and what it says where something is wrong."""

from __future__ import annotations

import json

import pytest

from sparse_ir.inspecting import doctor


def checks(outcome):
    return {check["name"]: check for check in json.loads(outcome.out)}


def test_a_machine_that_can_do_it_all_is_told_so(sparse_ir):
    outcome = sparse_ir("doctor", "--json")
    assert outcome.exit_code == 0
    found = checks(outcome)
    assert all(check["ok"] for check in found.values())
    assert {"python", "packages", "devices", "folders", "default model", "embedded engine"} <= set(
        found
    )


def test_the_table_names_every_check(sparse_ir):
    outcome = sparse_ir("doctor")
    assert outcome.exit_code == 0
    for name in ("python", "folders", "embedded engine"):
        assert name in outcome.out


def test_folders_that_cannot_be_written_fail_with_their_reason(sparse_ir, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SPARSE_IR_HOME", str(tmp_path / "file" / "home"))
    outcome = sparse_ir("doctor", "--json")
    assert outcome.exit_code == 1
    assert not checks(outcome)["home"]["ok"]
    assert "NotADirectoryError" in checks(outcome)["home"]["finding"]


def test_little_space_is_said_with_what_to_do(sparse_ir, monkeypatch):
    monkeypatch.setattr(doctor, "_LITTLE_SPACE", 1 << 60)
    outcome = sparse_ir("doctor", "--json")
    assert outcome.exit_code == 1
    assert "set SPARSE_IR_HOME to a larger disk" in checks(outcome)["folders"]["finding"]


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(doctor, "_PACKAGES", ("numpy", "no-such-package"))
    found = {check.name: check for check in doctor.diagnose()}
    assert found["packages"].finding.startswith("not installed: no-such-package")
    assert not found["packages"].ok


def test_nothing_is_left_behind(own_home):
    doctor.diagnose()
    left = {path.name for path in own_home.rglob("*") if path.is_file()}
    assert not [name for name in left if "doctor" in name]
    assert not (own_home / "indexes").exists()


@pytest.mark.parametrize("command", ["inspect", "doctor"])
def test_help_is_short_and_there(sparse_ir, command):
    outcome = sparse_ir(command, "--help")
    assert outcome.exit_code == 0
    assert "Usage" in outcome.out
