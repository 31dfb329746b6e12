"""``sparse-ir push``."""

from __future__ import annotations

import click

from sparse_ir.cli.options import json_option
from sparse_ir.cli.output import print_json, print_table


@click.command(short_help="Publish a model on the Hugging Face hub.")
@click.argument("folder", type=click.Path())
@click.argument("target", metavar="REPO_ID")
@click.option("--private", is_flag=True, help="A repository that is made now is private.")
@click.option("--endpoint", metavar="URL", help="Another hub. Default: $HF_ENDPOINT.")
@click.option("--message", default="Add model", show_default=True, help="Of the commit.")
@click.option("--dry-run", is_flag=True, help="Only list what would be sent.")
@click.option("--replace", is_flag=True, help="Replace a model that lies in the folder.")
@json_option
def push(
    folder: str,
    target: str,
    private: bool,
    endpoint: str | None,
    message: str,
    dry_run: bool,
    replace: bool,
    as_json: bool,
) -> None:
    """Publish a model FOLDER as REPO_ID (owner/name), or copy it to file:PATH.

    The token comes from HF_TOKEN or from: hf auth login
    """
    from sparse_ir.models.pushing import push_model

    found = push_model(
        folder,
        target,
        private=private,
        endpoint=endpoint,
        message=message,
        dry_run=dry_run,
        replace=replace,
    )
    if as_json:
        print_json(found._asdict())
        return
    rows = [[name, f"{size:,}"] for name, size in found.files.items()]
    print_table(["file", "bytes"], rows)
    done = "Published at" if found.done else "Nothing was sent. It would go to"
    click.echo(f"{done} {found.url}")
