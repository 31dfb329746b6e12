"""docs/serving.md names every option, route and figure there is."""

from __future__ import annotations

import re
from pathlib import Path

import click

from sparse_ir.cli.serve import serve

TEXT = (Path(__file__).parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")


def test_every_option_is_named_and_every_option_named_is_one():
    options = {p.opts[0] for p in serve.params if isinstance(p, click.Option) and not p.hidden}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", TEXT))
    others = {
        "--explain", "--filter", "--hybrid", "--passages", "--replace", "--serve", "--clients",
            "--seconds",
    }  # fmt: skip
    assert options <= named
    assert named - options <= others


def test_limits_have_the_defaults_that_are_written():
    rows = re.findall(r"^\| `(--[\w-]+)` \| ([\d,]+) \|", TEXT, re.MULTILINE)
    defaults = {p.opts[0]: p.default for p in serve.params}
    assert len(rows) == 4
    for option, written in rows:
        assert float(written.replace(",", "")) == defaults[option]


def test_every_route_is_named(server):
    routes = {f"GET {path}" for path in server.get("/openapi.json").json["paths"]}
    assert {re.match(r"GET [^?]+", r)[0] for r in re.findall(r"`(GET [^`]+)`", TEXT)} == routes


def test_every_parameter_of_search_is_named(server):
    described = server.get("/openapi.json").json["paths"]["/search"]["get"]["parameters"]
    rows = TEXT.partition("`/search` takes:")[2].partition("\n\n")[2].partition("\n\n")[0]
    named = set(re.findall(r"(\w+)(?==|`)", " ".join(r.split("|")[1] for r in rows.splitlines())))
    assert {p["name"] for p in described} <= named


def test_every_figure_is_named(server):
    server.get("/search", q="pear")
    found = set(re.findall(r"^# TYPE (sparse_ir_\w+) ", server.get("/metrics").text, re.MULTILINE))
    found = {name for name in found if not name.endswith("_created")}
    assert found == set(re.findall(r"^\| `(sparse_ir_\w+?)(?:\{[\w,]+\})?`", TEXT, re.MULTILINE))
