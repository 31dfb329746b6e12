"""The model card: what a saved model is, in a README.md that the Hugging Face hub understands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparse_ir.models import saved_files
from sparse_ir.models.sides import QUERY_TABLE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_TAGS = ("sparse-encoder", "sparse", "splade", "sparse-ir", "sentence-transformers")
_UNICOIL = "unicoil"  # a kind of sides, as those below, that other libraries do not load
_SIDES = {
    "one": "Queries and documents are weighed by the same model.",
    "inference-free": "Documents are weighed by the model. Queries are not: each of their tokens "
    "weighs what a table says, so a query costs no more than its tokenizer.",
    "unicoil": "Queries and documents are weighed by the same model, by their own tokens alone.",
    "separate": "Documents are weighed by one model and queries by another of the same vocabulary.",
}


@dataclass(frozen=True)
class TrainingData:
    """A source of training examples.

    Attributes:
        name: For people.
        license: As its owner states it.
        examples: How many were used; None where unknown.
        url: Where it is described.
        dataset: Its id on the Hugging Face hub, if it has one.
    """

    name: str
    license: str
    examples: int | None = None
    url: str = ""
    dataset: str = ""


@dataclass(frozen=True)
class ModelCard:
    """What is known of a model.

    Attributes:
        name: Its name; the hub's ``owner/name`` where it has one.
        license: The hub's short name, such as "apache-2.0".
        summary: What it is for, in a sentence or two.
        language: Codes such as "en".
        base_model: The backbone, as a hub id where it has one.
        base_model_note: What the backbone was itself trained on.
        tags: More than the usual ones.
        training_data: Where the examples came from.
        settings: Setting -> value, as it was trained; nested ones are told as ``a.b.c``, and of
            the paths of local files the names alone.
        metrics: Collection -> metric -> value.
        metrics_note: How they were measured: the command, what was not seen before.
        query_terms: Mean terms of a query.
        document_terms: Mean terms of a document.
        expected_flops: Mean products of weights for a query and a document.
        limits: What it is bad at, one sentence each.
        notes: The user's own words, as Markdown.
    """

    name: str
    license: str
    summary: str = ""
    language: tuple[str, ...] = ("en",)
    base_model: str = ""
    base_model_note: str = ""
    tags: tuple[str, ...] = ()
    training_data: tuple[TrainingData, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    metrics_note: str = ""
    query_terms: float | None = None
    document_terms: float | None = None
    expected_flops: float | None = None
    limits: tuple[str, ...] = ()
    notes: str = ""


def render_card(card: ModelCard, *, sides: str = "one", table: bool = False) -> str:
    """Write a card as README.md; a section of which nothing is known is left out.

    Args:
        card: What is known.
        sides: "one" model for queries and documents, "separate" ones, "inference-free" queries, or
            "unicoil": one model that weighs own tokens.
        table: Whether an inference-free query side may be chosen beside the model's own.
    """
    sections = {
        "What it is": _what(card, sides, table=table),
        "How to use it": _use(card.name, sides, table=table),
        "Training data": _data(card),
        "Settings": _table(("setting", "value"), list(_flat(card.settings))),
        "Results": _results(card),
        "Sparsity": _sparsity(card),
        "Limits": "\n".join(f"- {limit}" for limit in card.limits),
        "Notes": card.notes.strip(),
    }
    body = [f"## {title}\n\n{text}\n" for title, text in sections.items() if text]
    return "\n".join([_front_matter(card, sides), f"# {card.name.rpartition('/')[2]}\n", *body])


def _front_matter(card: ModelCard, sides: str) -> str:
    import yaml

    metrics = dict.fromkeys(name for values in card.metrics.values() for name in values)
    unicoil = sides == _UNICOIL
    tags = ("sparse-encoder", "sparse", "unicoil", "sparse-ir") if unicoil else _TAGS
    facts = {
        "license": card.license,
        "language": list(card.language),
        "library_name": "sparse-ir" if unicoil else "sentence-transformers",
        "pipeline_tag": "feature-extraction",
        "tags": list(dict.fromkeys((*tags, *card.tags))),
        "base_model": card.base_model,
        "datasets": [d.dataset for d in card.training_data if d.dataset],
        "metrics": list(metrics),
    }
    known = {name: value for name, value in facts.items() if value}
    written = yaml.safe_dump(known, sort_keys=False, allow_unicode=True)
    return f"---\n{written}---\n"


def _what(card: ModelCard, sides: str, *, table: bool) -> str:
    kind = "uniCOIL" if sides == _UNICOIL else "SPLADE"
    lines = [card.summary, f"A learned sparse retrieval model ({kind}): it weighs the terms of its "
             "vocabulary for a text, and the score of a document is the dot product of the two "
             "vectors.", _SIDES[sides]]  # fmt: skip
    if table:
        lines.append(
            f"An inference-free query side lies beside it (`{QUERY_TABLE}`): a weight for each "
            "token, to be chosen where a query must cost next to nothing."
        )
    if card.base_model:
        lines.append(f"Trained from {card.base_model}.")
    return " ".join(line for line in (*lines, card.base_model_note) if line)


def _use(name: str, sides: str, *, table: bool) -> str:
    where = "" if sides == "one" else f', subfolder="{saved_files.DOCUMENTS[0]}"'
    choose = ', queries="inference-free"' if table else ""
    comment = "  # or without queries=: the model's own query side" if table else ""
    own = f"""```python
# sparse-ir
from sparse_ir import load_encoder
encoder = load_encoder("{name}"{choose}){comment}
documents = encoder.encode_documents(["a text"])
queries = encoder.encode_queries(["a question"])
```"""
    if sides == _UNICOIL:
        return own
    return f"""{own}

```python
# sentence-transformers, 5.1 or later
from sentence_transformers import SparseEncoder
encoder = SparseEncoder("{name}")
scores = encoder.similarity(encoder.encode_query("a question"), encoder.encode_document("a text"))
```

```python
# transformers: the logits of the document side; pool them as the settings say
from transformers import AutoModelForMaskedLM, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained("{name}"{where})
model = AutoModelForMaskedLM.from_pretrained("{name}"{where})
```"""


def _data(card: ModelCard) -> str:
    rows = [
        (
            f"[{source.name}]({source.url})" if source.url else source.name,
            source.license,
            "" if source.examples is None else f"{source.examples:,}",
        )
        for source in card.training_data
    ]
    return _table(("source", "licence", "examples"), rows)


def _results(card: ModelCard) -> str:
    names = list(dict.fromkeys(name for values in card.metrics.values() for name in values))
    rows = [
        (collection, *(f"{values[n]:.4f}" if n in values else "" for n in names))
        for collection, values in card.metrics.items()
    ]
    parts = (_table(("collection", *names), rows), card.metrics_note)
    return "\n\n".join(part for part in parts if part)


def _sparsity(card: ModelCard) -> str:
    rows = [
        ("terms per query", card.query_terms),
        ("terms per document", card.document_terms),
        ("expected FLOPS (products per query and document)", card.expected_flops),
    ]
    return _table(("", "mean"), [(n, f"{value:.4g}") for n, value in rows if value is not None])


def _table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join("| " + " | ".join(_cell(c) for c in line) + " |" for line in lines)


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Name and value of every setting that has one."""
    for name, value in settings.items():
        if isinstance(value, list | tuple) and any(isinstance(one, Mapping) for one in value):
            yield from _flat({str(i): one for i, one in enumerate(value)}, f"{prefix}{name}.")
        elif isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif value is not None and value not in ("", (), []):
            yield f"{prefix}{name}", _plain(value)


def _plain(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return public_name(value) if isinstance(value, str) else str(value)


def public_name(text: str) -> str:
    """The name alone where the text is the path of a local file; else the text."""
    path = Path(text)
    if len(path.parts) < 2:
        return text
    local = text.startswith((".", "~")) or path.is_absolute() or path.exists()
    return path.name if local else text


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
