"""``sparse-ir verify``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from sparse_ir.cli.options import (
    ENCODING_PRECISIONS,
    engine_option,
    index_option,
    json_option,
    refuse,
)
from sparse_ir.cli.output import note, print_json, print_table, progress, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparse_ir.inspecting.findings import Finding
    from sparse_ir.inspecting.verify import Verification
    from sparse_ir.inspecting.verify_existing import Audit

_OF_OWN = ("index", "queries", "corpus", "vectors", "dense", "tolerance", "precision")


@click.command(short_help="Check an index against what it should hold.")
@index_option
@click.option("--existing", metavar="INDEX", help="Audit an index that other code made instead.")
@click.option("--vector-field", metavar="FIELD", help="With --existing: the field to look at.")
@click.option("--query", metavar="TEXT", help="With --existing and --model: what to search for.")
@engine_option
@click.option("--queries", help="Queries: BEIR folder, JSONL or TSV. Default: made of terms.")
@click.option(
    "--sample-queries", type=click.IntRange(min=1), default=50, show_default=True, metavar="N"
)
@click.option("--documents", type=click.IntRange(min=1), default=100, show_default=True)
@click.option("--corpus", help="The corpus that was indexed: are all its documents there?")
@click.option("--vectors", metavar="FOLDER", help="The vector shards that were indexed.")
@click.option("--model", help="The model that made the index, where it has moved.")
@click.option("--dense", metavar="MODEL", help="The index's dense model, where it has moved.")
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0, max=1),
    help="Relative difference of a weight that is the encoder's noise. Default: 2^-8.",
)
@click.option(
    "--precision",
    type=click.Choice(ENCODING_PRECISIONS),
    help="Encode texts again in this. Default: what the index was encoded in, else fp32.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the sample.")
@json_option
def verify(
    existing: str | None,
    vector_field: str | None,
    query: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Check an index: score a sample offline and compare it with what the engine says.

    What differs is named with its cause, and the exit code is 8.
    """
    if existing is not None:
        refuse(_OF_OWN, "does not go with --existing")
        _existing(existing, vector_field, query, options, as_json=as_json)
        return
    if vector_field is not None or query is not None:
        raise click.UsageError("--vector-field and --query go with --existing.")
    from sparse_ir.engines.addresses import is_cluster
    from sparse_ir.errors import IndexNotFoundError, VerificationError
    from sparse_ir.inspecting.verify import VerifySettings
    from sparse_ir.inspecting.verify import verify as verify_index

    given = {name: value for name, value in options.items() if value is not None}
    settings = VerifySettings(**given)
    try:
        with progress("queries", total=settings.sample_queries) as advance:
            found = verify_index(settings, advance=advance)
    except IndexNotFoundError as error:
        if not is_cluster(settings.engine):
            raise
        raise IndexNotFoundError(
            f"{error} An index that other code made: sparse-ir verify --existing {settings.index}"
        ) from None
    if as_json:
        print_json(found.to_json())
    else:
        _print(settings.index, found)
    if found.findings:
        causes = ", ".join(dict.fromkeys(f.cause for f in found.findings))
        raise VerificationError(f"index {settings.index!r} does not verify: {causes}.")


def _existing(
    index: str,
    field: str | None,
    query: str | None,
    options: dict[str, Any],
    *,
    as_json: bool,
) -> None:
    from sparse_ir.errors import VerificationError
    from sparse_ir.inspecting.verify_existing import ExistingSettings, verify_existing

    audit = verify_existing(
        ExistingSettings(
            index=index,
            engine=options["engine"],
            field=field,
            query=query,
            model=options["model"],
            documents=options["documents"],
            sample_queries=options["sample_queries"],
            seed=options["seed"],
        )
    )
    if as_json:
        print_json(audit.to_json())
    else:
        print_table(["", index], [[name, value] for name, value in audit.rows()])
        _print_findings(audit.findings)
        say(_advice(audit))
        for line in audit.notes:
            note(line)
    if audit.findings:
        causes = ", ".join(dict.fromkeys(f.cause for f in audit.findings))
        raise VerificationError(f"index {index!r}: {causes}.")


def _advice(audit: Audit) -> str:
    """What the comparison of the two forms means for the code that queries this index."""
    right, wrong = audit.forms[0], audit.forms[1]
    if audit.overlap is None:
        return f"Query it with: {right}. Nothing could be searched to compare."
    if audit.overlap < 1 or audit.first_difference is not None:
        return (
            f"Query it with: {right}. Only that is the dot product; with {wrong} the first ten "
            f"hits share {audit.overlap:.0%} with it."
        )
    return f"Query it with: {right}. On this sample {wrong} ranks the same; its scores differ."


def _print(index: str, found: Verification) -> None:
    expected = found.expected_documents
    of = "" if expected is None else f" of {expected:,}"
    rows = [
        ["documents", f"{found.documents:,}{of}"],
        ["expected weights from", found.source],
        ["weights", f"{found.weights:,} of {found.sampled:,} documents"],
        ["  off by the encoder's noise", f"{found.weights_rounded:,}"],
        ["scores", f"{found.scores:,} of {found.queries:,} queries"],
        ["  equal to 1e-5", f"{found.scores_exact:,}"],
        ["  largest relative error", f"{found.largest_error:.1e}"],
        *_dense_rows(found),
        ["verdict", found.verdict],
    ]
    print_table(["", index], rows)
    _print_findings(found.findings)
    for line in found.notes:
        note(line)


def _dense_rows(found: Verification) -> list[list[str]]:
    if not found.dense_scores:
        return []
    return [
        ["dense scores", f"{found.dense_scores:,}"],
        ["  largest error", f"{found.dense_largest_error:.1e}"],
    ]


def _print_findings(findings: Sequence[Finding]) -> None:
    for finding in findings:
        say(str(finding))
