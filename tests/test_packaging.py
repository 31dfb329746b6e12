"""The package as it is shipped: what it holds, what it loads, and that the tests see it."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest

import sparse_ir
from sparse_ir.resources import default_model_folder, resource

PROJECT = Path(__file__).resolve().parents[1]
HEAVY = {"datasets", "numba", "qdrant_edge", "ranx", "scipy", "torch", "transformers"}

from_wheel = pytest.mark.skipif(
    os.environ.get("SPARSE_IR_EXPECT_WHEEL") != "1", reason="make test installs the wheel"
)


def python(code: str) -> str:
    """What a new interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def heavy_modules_after(code: str) -> set[str]:
    printed = python(f"import sys\n{code}\nprint(); print(*sys.modules)")
    return HEAVY & set(printed.splitlines()[-1].split())


def installed_files() -> set[str]:
    return {str(path) for path in importlib.metadata.files("sparse-ir") or ()}


def people_files(folder: str) -> list[str]:
    found = (PROJECT / folder).rglob("*")
    return sorted(
        path.relative_to(PROJECT).as_posix()
        for path in found
        if path.is_file() and "__pycache__" not in path.parts
    )


@from_wheel
def test_the_tests_import_the_wheel():
    assert "site-packages" in Path(sparse_ir.__file__).parts


@from_wheel
def test_the_tests_subprocesses_import_the_wheel():
    printed = python("import sparse_ir; print(sparse_ir.__file__)")
    assert Path(printed.strip()) == Path(sparse_ir.__file__)


@from_wheel
@pytest.mark.parametrize("folder", ["mappings", "pipelines", "evaluation"])
def test_the_wheel_holds_every_file_that_a_person_edits(folder):
    files = people_files(folder)
    assert files
    assert {f"sparse_ir/bundled/{name}" for name in files} <= installed_files()


@from_wheel
def test_the_wheel_holds_the_default_model_and_its_card():
    names = {"README.md", "config.json", "tokenizer.json", "model.int8.safetensors"}
    assert {f"sparse_ir/default_model/{name}" for name in names} <= installed_files()


@from_wheel
def test_the_wheel_holds_the_search_page():
    source = PROJECT / "sparse_ir" / "serving" / "page"
    files = {path.relative_to(PROJECT).as_posix() for path in source.glob("*.*")}
    assert len(files) > 10
    assert files <= installed_files()


@from_wheel
def test_the_wheel_holds_licence_notice_and_type_marker():
    names = {Path(name).name for name in installed_files()}
    assert {"LICENSE", "NOTICE", "py.typed"} <= names


@from_wheel
def test_the_wheel_holds_no_tests():
    assert not [name for name in installed_files() if name.startswith("tests/")]


def test_the_default_model_takes_at_most_25_megabytes():
    files = [path for path in default_model_folder().rglob("*") if path.is_file()]
    assert 0 < sum(path.stat().st_size for path in files) <= 25_000_000


def test_the_demo_recipe_is_found_where_the_package_lies():
    assert resource("pipelines", "demo.yaml").is_file()


@from_wheel
def test_the_version_is_the_one_that_was_installed():
    assert importlib.metadata.version("sparse-ir") == sparse_ir.__version__


@pytest.mark.parametrize("name", sparse_ir.__all__)
def test_every_public_name_can_be_had(name):
    assert getattr(sparse_ir, name) is not None


def test_import_loads_nothing_heavy():
    assert heavy_modules_after("import sparse_ir") == set()


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_help_and_version_load_nothing_heavy(arguments):
    code = f"""
from sparse_ir.cli import run
try:
    run({arguments})
except SystemExit as end:
    assert end.code == 0
"""
    assert heavy_modules_after(code) == set()


@from_wheel
def test_the_command_is_installed():
    command = Path(sys.executable).with_name("sparse-ir")
    done = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    assert sparse_ir.__version__ in done.stdout
