"""What lies beside an exported graph: how it is used, and which model it is."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from sparse_ir.errors import ModelError
from sparse_ir.models.fingerprint import content_digest
from sparse_ir.models.layouts import SpladeLayout, read_json
from sparse_ir.models.sides import TableLayout

if TYPE_CHECKING:
    from pathlib import Path

SETTINGS = "sparse_ir_onnx.json"
"""By this file a folder is known to hold an exported graph."""

GRAPH, TOKENIZER = "model.onnx", "tokenizer.json"
QUERIES = "queries"
"""The folder of a query table and its tokenizer, where queries are weighed without a model."""

FORMAT = 1


@dataclass(frozen=True)
class OnnxSettings:
    """How an exported graph is used.

    The graph pools, activates and drops; what comes before and after is said here.

    Attributes:
        model: The model it was exported from, for people to read.
        weights: Digest of that model's weights.
        tokenizer: Digest of its tokenizer.
        pooling: See ``SpladeLayout``; so are the following, up to drop_columns.
        activation: In the graph.
        lowercase: In tokenizer.json.
        document_prompt: Put in front of every document.
        query_prompt: Put in front of every query.
        query_terms: Heaviest terms kept of a query; 0 for all.
        document_terms: Heaviest terms kept of a document; 0 for all.
        drop_positions: In the graph.
        drop_columns: In the graph.
        max_length: Tokens read of a text, special ones included.
        size: Terms of the vocabulary.
        truncation_side: "right" or "left".
        pad_token_id: Of the tokenizer.
        opset: Of the graph.
        within: The largest difference from the model's own weights that the export found.
        files: File name -> digest of its content, of graph and tokenizer.
        table: The query table, if there is one: file name, and the fields of ``TableLayout``.
        queries_by_table: Whether queries are weighed by it unless another side is asked for.
        format: Of this file.
    """

    model: str
    weights: str
    tokenizer: str
    pooling: str
    activation: str
    lowercase: bool
    document_prompt: str
    query_prompt: str
    query_terms: int
    document_terms: int
    drop_positions: tuple[str, ...]
    drop_columns: tuple[str, ...]
    max_length: int
    size: int
    truncation_side: str
    pad_token_id: int
    opset: int
    within: float
    files: dict[str, str]
    table: dict[str, Any] | None = None
    queries_by_table: bool = False
    format: int = FORMAT

    def layout(self, folder: Path) -> SpladeLayout:
        """As the layout of the model it was exported from."""
        names = {f.name for f in fields(SpladeLayout)} & {f.name for f in fields(OnnxSettings)}
        used = {name: getattr(self, name) for name in names if name != "model"}
        return SpladeLayout(folder, **used)

    def table_layout(self, folder: Path) -> TableLayout | None:
        """Where the query table lies; None without one."""
        if self.table is None:
            return None
        more = {name: value for name, value in self.table.items() if name != "weights"}
        return TableLayout(folder / QUERIES / self.table["weights"], folder / QUERIES, **more)

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)


def is_onnx(folder: Path) -> bool:
    """Whether a folder holds an exported graph."""
    return (folder / SETTINGS).is_file()


def read_settings(folder: Path) -> OnnxSettings:
    """Read how a graph is used.

    Raises:
        ModelError: the file is damaged, or of a later format.
    """
    stored = read_json(folder / SETTINGS)
    if not isinstance(stored, dict) or stored.get("format") != FORMAT:
        raise ModelError(
            f"{folder / SETTINGS} is not of the format {FORMAT} that this sparse-ir reads. Export "
            "the model again."
        )
    try:
        lists = {k: tuple(v) for k, v in stored.items() if k.startswith("drop_")}
        return OnnxSettings(**{**stored, **lists})
    except TypeError as error:
        raise ModelError(f"{folder / SETTINGS} is damaged: {error}. Export again.") from None


def require_whole(folder: Path, settings: OnnxSettings) -> None:
    """Refuse a graph or tokenizer that is not the one that was compared with the model.

    Raises:
        ModelError: naming the file.
    """
    for name, digest in settings.files.items():
        path = folder / name
        if not path.is_file() or content_digest(path) != digest:
            raise ModelError(
                f"{path} is missing, or another than sparse-ir exported and compared with the "
                "model. Export the model again."
            )
