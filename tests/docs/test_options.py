"""Commands in the documentation have options that there are; files they name are there."""

from __future__ import annotations

import re

import click
import pytest
from blocks import PAGES, ROOT, arguments, blocks, words

from sparse_ir.cli import main

SHELL = [
    (block, command)
    for page in PAGES
    for block in blocks(page)
    if block.language == "sh"
    for command in block.commands
]
OWN = [(block, command) for block, command in SHELL if arguments(command) is not None]
OTHERS = {
    "pip", "uv", "curl", "docker", "make", "python", "torchrun", "accelerate", "bin/run.sh",
    "hadolint", "check-jsonschema", "git", "cd", "zcat", "sha256sum", "kubectl", "sbatch", "srun",
    "sudo",
}  # fmt: skip
TARGETS = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))


def test_there_are_commands():
    assert len(OWN) > 80


@pytest.mark.parametrize(
    ("block", "command"), OWN, ids=[f"{b.page}:{b.line}:{c[:40]}" for b, c in OWN]
)
def test_its_command_and_options_exist(block, command):
    given = arguments(command)
    context = main.make_context("sparse-ir", [*given, "--help"], resilient_parsing=True)
    while given and given[0] == "--config":
        given = given[2:]
    name, *rest = given or ["--help"]
    if name.startswith("-"):
        return
    found = main.get_command(context, name)
    assert found is not None, f"there is no command {name}"
    rest = [word for word in rest if word not in ("...", "…")]
    with click.Context(found, info_name=name) as inner:
        found.make_parser(inner).parse_args(rest)


@pytest.mark.parametrize(
    "command", sorted({c for _, c in SHELL if arguments(c) is None}), ids=lambda c: c[:50]
)
def test_other_programs_are_known_and_their_files_are_there(command):
    parts = words(command)
    while parts and "=" in parts[0]:
        parts = parts[1:]
    name = parts[0]
    assert name in OTHERS or (ROOT / name).exists() or name.startswith(".venv"), name
    if name == "make":
        assert {p for p in parts[1:] if "=" not in p} <= TARGETS
    if name == "python" and parts[1].endswith(".py"):
        assert (ROOT / parts[1]).is_file()
