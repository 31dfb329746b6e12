"""``sparse-ir serve``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sparse_ir.cli.options import engine_option, together
from sparse_ir.cli.output import note

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparse_ir.serving.settings import ServeSettings

serve_options = together(
    click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on."),
    click.option(
        "--port",
        type=click.IntRange(0, 65535),
        default=8080,
        show_default=True,
        help="Port; 0 takes a free one.",
    ),
    click.option(
        "--api-key-file",
        metavar="FILE",
        help="File (mode 0600) with the key that clients must send; or set SPARSE_IR_SERVE_KEY.",
    ),
    click.option("--no-key", is_flag=True, help="Let anyone search who can reach the address."),
    click.option(
        "--allowed-host",
        "allowed_hosts",
        multiple=True,
        metavar="NAME",
        help="Without a key: another name this server goes by, as behind a proxy; repeat for more.",
    ),
    click.option(
        "--max-concurrent",
        type=click.IntRange(min=1),
        default=64,
        show_default=True,
        help="Requests worked on or waiting; more are refused (503).",
    ),
    click.option(
        "--timeout",
        type=click.FloatRange(min=0, min_open=True),
        default=30.0,
        show_default=True,
        help="Seconds until a request is given up (504).",
    ),
    click.option(
        "--max-query-chars",
        type=click.IntRange(min=1),
        default=10_000,
        show_default=True,
        help="Characters of a query or a text (413).",
    ),
    click.option(
        "--max-k",
        type=click.IntRange(min=1),
        default=100,
        show_default=True,
        help="Hits per query.",
    ),
    click.option("--max-offset", type=click.IntRange(min=0), default=10_000, hidden=True),
    click.option("--max-connections", type=click.IntRange(min=1), default=512, hidden=True),
    click.option("--max-batch", type=click.IntRange(min=1), default=32, hidden=True),
    click.option(
        "--read-timeout", type=click.FloatRange(min=0, min_open=True), default=10.0, hidden=True
    ),
    click.option(
        "--write-timeout", type=click.FloatRange(min=0, min_open=True), default=30.0, hidden=True
    ),
)
"""Where a server listens, whom it lets in, how much it takes."""


class _Names(click.Option):
    """An option to repeat; in sparse-ir.yaml a single text will do."""

    def type_cast_value(self, ctx: click.Context, value: Any) -> Any:
        return super().type_cast_value(ctx, (value,) if isinstance(value, str) else value)


@click.command(short_help="Serve indexes over HTTP.")
@click.option(
    "--index",
    cls=_Names,
    multiple=True,
    default=("default",),
    metavar="NAME[@ENGINE]",
    help="An index, in another engine as in docs@opensearch:http://localhost:9200; repeat to serve "
    "several side by side. The first is the default.",
)
@engine_option
@serve_options
@click.option(
    "--query-encoder",
    type=click.Choice(["model", "inference-free", "ready"]),
    default="model",
    show_default=True,
    help="As in search.",
)
@click.option(
    "--hybrid",
    default="",
    metavar="HOW",
    help="Fuse, as in search, what does not say so itself; a request's hybrid=sparse=1 does not.",
)
@click.option(
    "--words-index",
    cls=_Names,
    multiple=True,
    metavar="[INDEX=]WORDS",
    help="Take words of hybrid searches from this index, made with --model bm25.",
)
@click.option("--dense", metavar="MODEL", help="As in search, for hybrid searches.")
@click.option(
    "--mask",
    default="",
    metavar="FILE",
    help="Terms that no query is searched by, one a line; read at the start.",
)
def serve(**options: object) -> None:
    """Serve indexes over HTTP: a search page, JSON, figures for Prometheus.

    SIGTERM or Ctrl-C ends it once the requests in flight are answered.
    """
    run_server(settings_of(options))


def settings_of(options: Mapping[str, Any]) -> ServeSettings:
    """The settings of a command line, with the key from where it is kept.

    Raises:
        ConfigError: a setting is wrong, or the key cannot be had.
    """
    from sparse_ir.config import load_settings
    from sparse_ir.serving.settings import ServeSettings

    values = dict(options)
    values["key"] = _key(values.pop("api_key_file"))
    return load_settings(ServeSettings, values, where="serve")


def run_server(settings: ServeSettings, *, browser: bool = False) -> None:
    """Serve, say where, and, if asked, open a browser there."""
    from sparse_ir.serving.serve import require_extra, serve

    require_extra()

    def ready(url: str) -> None:
        note(f"Serving {', '.join(settings.index)} at {url} (Ctrl-C ends it)")
        if browser:
            import webbrowser

            webbrowser.open(url)

    serve(settings, ready=ready)


def _key(path: str | None) -> str:
    from sparse_ir.engines.credentials_file import read_private
    from sparse_ir.serving.settings import KEY_VARIABLE, require_key

    if path is not None:
        text = read_private(Path(path).expanduser(), required="--api-key-file") or ""
        return require_key(text.strip(), f"the key in {path}")
    if KEY_VARIABLE in os.environ:
        return require_key(os.environ[KEY_VARIABLE].strip(), KEY_VARIABLE)
    return ""
