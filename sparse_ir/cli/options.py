"""Options that several commands share, so that they mean the same everywhere."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from sparse_ir.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_PRECISIONS = ("fp32", "bf16", "fp16")  # of any model; a SPLADE body may compute in int8 too
ENCODING_PRECISIONS = (*_PRECISIONS, "int8")
"""What a corpus may be encoded in; training knows no int8."""


def together(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Make several options one, in the order of the help."""

    def decorate(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


index_option = click.option(
    "--index", default="default", show_default=True, help="Name of the index."
)


def engine_option(command: Any) -> Any:
    """``--engine`` and ``--url``: where it is; the command gets both as one address, ``engine``."""
    from sparse_ir.engines.addresses import merge

    @functools.wraps(command)
    def with_address(*args: Any, engine: str | None, url: str | None, **kwargs: Any) -> Any:
        return command(*args, engine=merge(engine, url), **kwargs)

    named = click.option(
        "--engine",
        metavar="ENGINE",
        help="Where the index lives: embedded or memory, either with a folder (embedded:PATH), "
        "elasticsearch, opensearch. Default: embedded; with --url, what answers there.",
    )
    at = click.option(
        "--url",
        metavar="URL[,URL...]",
        help="Nodes of a cluster, or cloud:ID. Credentials come from the environment "
        "(SPARSE_IR_API_KEY, ...).",
    )
    return named(at(with_address))


cluster_options = together(
    click.option(
        "--field",
        default="",
        metavar="TYPE",
        help="Field type of the vectors: rank_features, sparse_vector (Elasticsearch), "
        "neural_sparse (OpenSearch with its neural-search plugin). Default: the server's.",
    ),
    click.option("--shards", type=click.IntRange(min=1), help="Primary shards."),
    click.option("--replicas", type=click.IntRange(min=0), help="Copies of each shard."),
    click.option(
        "--keep-vectors", is_flag=True, help="Keep vectors in _source too (doubles the index)."
    ),
    click.option("--force-merge", is_flag=True, help="Merge to one segment a shard at the end."),
    click.option(
        "--drop-old/--keep-old",
        default=None,
        help="What becomes of the index that is replaced. Default: a cluster keeps it for "
        "rollback, embedded drops it.",
    ),
    click.option("--bulk-documents", type=click.IntRange(min=1), default=512, hidden=True),
    click.option("--bulk-bytes", type=click.IntRange(min=1), default=4 << 20, hidden=True),
    click.option(
        "--in-flight",
        type=click.IntRange(min=1),
        default=4,
        show_default=True,
        help="Bulk requests at a time, at most.",
    ),
    click.option(
        "--patience",
        type=click.FloatRange(min=0),
        default=600.0,
        show_default=True,
        help="Seconds to wait for a cluster that takes nothing.",
    ),
)
"""How an index is laid out in a cluster and written to."""

corpus_option = click.option(
    "--corpus",
    required=True,
    help="BEIR folder, JSONL, TSV, CSV or Parquet (plain, gzip, zstd), Hub dataset id, "
    "irds:ID, python-docs, or - for standard input.",
)

limit_option = click.option(
    "--limit", type=click.IntRange(min=1), help="Read at most so many documents."
)

skip_bad_option = click.option(
    "--skip-bad", is_flag=True, help="Pass over unusable rows, count and list them."
)

resume_option = click.option("--resume", is_flag=True, help="Go on where a stopped run was.")


def _precision(choices: Sequence[str]) -> Callable[[Any], Any]:
    return click.option(
        "--precision",
        type=click.Choice(choices),
        default="fp32",
        show_default=True,
        help="Arithmetic of the model's body; weights are pooled in fp32.",
    )


device_options = together(
    click.option(
        "--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps."
    ),
    _precision(_PRECISIONS),
)
"""What the model computes on, and how."""

devices_options = together(
    click.option(
        "--devices",
        "--device",
        default="auto",
        show_default=True,
        help="One process each: cuda:0,cuda:1 or cpu,cpu. auto: every GPU, else the CPU.",
    ),
    _precision(ENCODING_PRECISIONS),
    click.option(
        "--batch-tokens",
        type=click.IntRange(min=1),
        help="Texts times longest text of a batch. Default: as suits the device.",
    ),
)
"""Where a corpus is encoded, and how."""

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")

passages_option = click.option(
    "--passages",
    default="",
    metavar="HOW",
    help="Read long documents in passages: max (one vector, each term's highest weight) or "
    "each (indexed apart, grouped by search); with ,words=200,overlap=40. Default: cut.",
)

document_pruning_option = click.option(
    "--document-pruning",
    default="",
    metavar="RULES",
    help="Keep fewer terms of every document: top_k=N, mass=0..1, ratio=0..1, comma-separated.",
)

min_grade_option = click.option(
    "--min-grade",
    type=click.IntRange(min=1),
    help="Grades from here on are relevant for all but nDCG. Default: 1, or the dataset's.",
)

query_encoder_option = click.option(
    "--query-encoder",
    type=click.Choice(["model", "inference-free"]),
    default="model",
    show_default=True,
    help="The model's own query side, or its table of token weights (needs no network).",
)

control_options = together(
    click.option("--ban", multiple=True, metavar="TERM", help="Leave this term out. Repeat."),
    click.option(
        "--boost",
        multiple=True,
        metavar="TERM=FACTOR",
        help="Multiply this term's weight, where the query has it. Repeat.",
    ),
    click.option(
        "--pin",
        multiple=True,
        metavar="TERM[=WEIGHT]",
        help="Have this term in the query, with this weight (default 1). Repeat.",
    ),
    click.option(
        "--lexical-only",
        is_flag=True,
        help="Keep only terms that are tokens of the query's own text: no expansion.",
    ),
    click.option(
        "--mask",
        default="",
        metavar="FILE",
        help="Terms that are never searched by, one a line.",
    ),
)
"""What a person does to the terms of a query."""

search_options = together(
    click.option(
        "--query-encoder",
        type=click.Choice(["model", "inference-free", "ready"]),
        default="model",
        show_default=True,
        help="The model's own query side, or its table of token weights (needs no network); ready: "
        "a query is terms, each weighing as often as it stands (Anserini's topics), no model.",
    ),
    click.option(
        "--query-pruning",
        default="",
        metavar="RULES",
        help="Search with fewer terms: top_k=N, mass=0..1, ratio=0..1.",
    ),
    click.option(
        "--two-step",
        default="",
        metavar="RULES",
        help="Heavy terms find the candidates, all terms score the best of them: on, or "
        "ratio=0.4,expansion=5,window=N.",
    ),
    click.option(
        "--hybrid",
        default="",
        metavar="HOW",
        help="Fuse rankings by weighted terms, dense vectors and BM25 (sparse, dense, words): "
        "rrf:sparse,dense or sparse=0.6,dense=0.4; rrf and convex=ALPHA fuse sparse and words.",
    ),
    click.option(
        "--words-index",
        metavar="NAME",
        help="Take words from this index, made with --model bm25, in the place of the "
        "cluster's BM25.",
    ),
    click.option("--dense-only", is_flag=True, help="Search by dense vectors alone."),
    click.option(
        "--dense",
        metavar="MODEL",
        help="The dense model that made the index, where it has moved.",
    ),
    click.option(
        "--server-pruning",
        is_flag=True,
        help="Let Elasticsearch drop query terms that it deems unimportant (off: all count).",
    ),
    click.option(
        "--group",
        type=click.Choice(["best", "sum", "each"]),
        default="best",
        show_default=True,
        help="Of an index of passages: documents by their best passage, by the sum over "
        "passages, or each passage.",
    ),
    click.option(
        "--require",
        multiple=True,
        metavar="TERM",
        help="Only hits that hold this term; repeat to ask for all.",
    ),
    control_options,
)
"""How a query is searched: the same for one search and for an evaluation."""


def refuse(names: Sequence[str], why: str) -> None:
    """Refuse options that were given on the command line, but mean nothing here.

    Raises:
        ConfigError: one of them was given.
    """
    for name in names:
        if typed(name):
            flag = "-k" if name == "k" else f"--{name.replace('_', '-')}"
            raise ConfigError(f"{flag} {why}.")


def typed(name: str) -> bool:
    """Whether an option was given on the command line, not by a file of defaults."""
    return click.get_current_context().get_parameter_source(name) is ParameterSource.COMMANDLINE


def where_used(name: str, value: Any, *, used: bool, default: Any = None) -> Any:
    """An option that a file of defaults may set for all commands: here only where it is used.

    One that was typed counts in any case, so that a mistake is told.
    """
    return value if used or typed(name) else default


def split_names(text: str) -> tuple[str, ...]:
    """Split a comma-separated option."""
    return tuple(name.strip() for name in text.split(",") if name.strip())
