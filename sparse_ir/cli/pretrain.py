"""``sparse-ir pretrain``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from sparse_ir.cli.options import json_option, limit_option, resume_option
from sparse_ir.cli.output import format_seconds, note, print_json, progress
from sparse_ir.cli.stopping import resumable


@click.command(short_help="Make a tokenizer and a small masked LM of a corpus.")
@click.argument("config", required=False, type=click.Path(path_type=Path))
@click.option("--corpus", help="Any source of documents; it is read twice.")
@click.option("--out", help="Folder for the model; checkpoints lie in FOLDER-training.")
@click.option(
    "--language",
    type=click.Choice(["ja", "other"]),
    help="ja: Japanese ([ja] extra); other: any language that parts words by spaces.",
)
@click.option("--vocabulary", type=click.IntRange(min=32), help="Tokens of the tokenizer.")
@click.option("--steps", type=click.IntRange(min=1), help="Optimiser steps.")
@limit_option
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="SETTING=VALUE",
    help="Any setting, such as width=256; repeat for more.",
)
@resume_option
@click.option("--replace", is_flag=True, help="Throw away what the folders hold and start again.")
@json_option
def pretrain(as_json: bool, **options: Any) -> None:
    """Make a tokenizer and a small masked LM of a corpus, for train to start from.

    For languages and fields without a model. CONFIG is a YAML file of settings (docs/training.md
    lists them); options come after it, --set last.
    """
    from sparse_ir.config import load_settings
    from sparse_ir.training.pretrain import PretrainSettings
    from sparse_ir.training.pretrain import pretrain as run

    values, where = _values(options)
    settings = load_settings(PretrainSettings, values, where=where)
    first = os.environ.get("RANK", "0") == "0"  # torchrun starts one process per device
    with resumable(), progress("pretrain", total=settings.steps, shown=first) as advance:
        report = run(settings, advance=advance, say=note if first else lambda line: None)
    if not first:
        return
    if as_json:
        print_json(report._asdict())
        return
    click.echo(
        f"{report.out} holds the model; {report.vocabulary:,} tokens in its vocabulary, "
        f"{report.corpus_tokens:,} in the corpus; {report.steps:,} steps in "
        f"{format_seconds(report.seconds)}, loss {report.loss:.3f}."
    )


def _values(options: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Settings from the file, then the options, then --set."""
    from sparse_ir.config import parse_set, read_yaml
    from sparse_ir.errors import ConfigError

    config, assignments = options.pop("config"), options.pop("assignments")
    values = read_yaml(config) if config else {}
    values.update({name: value for name, value in options.items() if value not in (None, False)})
    for path, value in parse_set(assignments):
        if len(path) != 1:
            raise ConfigError(f"--set {'.'.join(path)}: pretrain has no settings within settings.")
        values[path[0]] = value
    return values, str(config) if config else "pretrain"
