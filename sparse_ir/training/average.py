"""The mean of several models' weights: where each is good, the mean is often good too.

Model soups (Wortsman et al., 2022, https://arxiv.org/abs/2203.05482): models that were fine-tuned
from the same weights lie in one valley of the loss. Averaging a model with the one that its
training went on from keeps more of what the start knew (https://arxiv.org/abs/2109.01903).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from sparse_ir.errors import ConfigError, ModelError
from sparse_ir.models.fingerprint import tokenizer_digest
from sparse_ir.models.layouts import read_json
from sparse_ir.models.saved_files import copy_tree, made_aside, options, put, put_json, small_table
from sparse_ir.models.sides import QUERY_TABLE
from sparse_ir.models.unicoil_files import SETTINGS as UNICOIL

if TYPE_CHECKING:
    from collections.abc import Sequence

_WEIGHTS = "model.safetensors"
_SAME = ("1_SpladePooling/config.json", "sentence_bert_config.json")
_OPTIONS = "sparse_ir.json"


@dataclass(frozen=True)
class AverageSettings:
    """Which models are averaged.

    Attributes:
        models: Folders that ``train`` wrote: one architecture, tokenizer and layout.
        out: The folder of the mean, laid out as the last of them.
        shares: What each counts, any positive numbers; all alike by default.
        query_terms: A query keeps at most so many of its heaviest terms; 0 for all.
        document_terms: Likewise a document.
        replace: Replace a model that lies there.
    """

    models: tuple[str, ...]
    out: str
    shares: tuple[float, ...] = ()
    query_terms: int = 0
    document_terms: int = 0
    replace: bool = False

    def __post_init__(self) -> None:
        if len(self.models) < 2:
            raise ConfigError("models names fewer than two folders. Name those to be averaged.")
        if self.shares and len(self.shares) != len(self.models):
            raise ConfigError(f"{len(self.shares)} shares for {len(self.models)} models.")
        if any(share <= 0 for share in self.shares):
            raise ConfigError("shares holds a number that is not above 0.")


class AverageReport(NamedTuple):
    """What was written.

    Attributes:
        out: The folder.
        models: How many were averaged.
    """

    out: str
    models: int


def average(settings: AverageSettings) -> AverageReport:
    """Write the mean of several models, weights and query tables alike.

    Raises:
        ConfigError: something lies in the way.
        ModelError: the models differ in more than their weights, or are no folders of ``train``.
    """
    folders = [Path(model) for model in settings.models]
    for folder in folders:
        if not (folder / _WEIGHTS).is_file():
            raise ModelError(
                f"{folder} holds no {_WEIGHTS}. Give a folder that train wrote, of a model that "
                "reads queries and documents alike."
            )
        if (folder / UNICOIL).is_file():
            raise ModelError(f"{folder} is a uniCOIL model; average knows SPLADE models alone.")
    for folder in folders[:-1]:
        _require_alike(folder, folders[-1])
    total = sum(settings.shares) or float(len(folders))
    shares = [share / total for share in settings.shares or [1.0] * len(folders)]
    weights = _mean_weights(folders, shares)
    last = folders[-1]
    with made_aside(Path(settings.out), replace=settings.replace) as made:
        names = [str(path.relative_to(last)) for path in last.rglob("*") if path.is_file()]
        copy_tree(last, [name for name in names if name != _WEIGHTS], made)
        save_file(weights, made / _WEIGHTS, metadata={"format": "pt"})
        if (last / QUERY_TABLE).is_file():
            put_json(made / QUERY_TABLE, _mean_table(folders, shares))
        (made / _OPTIONS).unlink(missing_ok=True)
        bounds = options(query_terms=settings.query_terms, document_terms=settings.document_terms)
        for name, content in bounds.items():
            put_json(made / name, content)
        if (made / "README.md").is_file():
            told = _told(settings.models, shares)
            put(made / "README.md", (made / "README.md").read_bytes() + told.encode())
    return AverageReport(settings.out, len(folders))


def _require_alike(folder: Path, last: Path) -> None:
    if tokenizer_digest(folder) != tokenizer_digest(last):
        raise ModelError(f"{folder} and {last} have different tokenizers and cannot be averaged.")
    for name in _SAME:
        ours, theirs = (path / name for path in (folder, last))
        if ours.is_file() != theirs.is_file() or (
            ours.is_file() and read_json(ours) != read_json(theirs)
        ):
            raise ModelError(f"{folder} and {last} differ in {name} and cannot be averaged.")
    if (folder / QUERY_TABLE).is_file() != (last / QUERY_TABLE).is_file():
        raise ModelError(f"of {folder} and {last} only one has a {QUERY_TABLE}.")


def _mean_weights(folders: Sequence[Path], shares: Sequence[float]) -> dict[str, Any]:
    mean: dict[str, Any] = {}
    for folder, share in zip(folders, shares, strict=True):
        try:
            weights = load_file(folder / _WEIGHTS)
        except (SafetensorError, OSError) as error:
            raise ModelError(f"{folder / _WEIGHTS} cannot be read: {error}") from error
        shapes = {name: tensor.shape for name, tensor in weights.items()}
        if mean and shapes != {name: tensor.shape for name, tensor in mean.items()}:
            raise ModelError(f"{folder} and {folders[0]} are of different architectures.")
        for name, tensor in weights.items():
            part = np.float32(share) * tensor
            mean[name] = part if name not in mean else mean[name] + part
    return mean


def _mean_table(folders: Sequence[Path], shares: Sequence[float]) -> dict[str, float]:
    mean: dict[str, float] = {}
    for folder, share in zip(folders, shares, strict=True):
        for token, weight in read_json(folder / QUERY_TABLE).items():
            mean[token] = mean.get(token, 0.0) + share * weight
    return small_table(mean)


def _told(models: Sequence[str], shares: Sequence[float]) -> str:
    parts = ", ".join(f"{Path(m).name} ({s:.0%})" for m, s in zip(models, shares, strict=True))
    return f"\nThe weights are the mean of those of {parts}; the figures above are of the last.\n"
