"""Queries without a model: the tokenizer's tokens, and a weight for each from a table.

The query side of SPLADE-doc (Formal et al., 2021, https://arxiv.org/abs/2109.10086), with IDF or
learned weights (Geng et al., 2024, https://arxiv.org/abs/2411.04403). It computes what
``SparseStaticEmbedding`` of sentence-transformers does, with the ``tokenizers`` library alone.
"""

from __future__ import annotations

import hashlib
import math
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from sparse_ir.errors import ModelError
from sparse_ir.models.base import Explanation, TermOrigin
from sparse_ir.models.batches import distinct_terms, encodable, text_ids, warn_of_cut
from sparse_ir.models.fingerprint import fingerprint, tokenizer_digest
from sparse_ir.models.layouts import read_json, read_object
from sparse_ir.models.origins import words_of
from sparse_ir.pruning import keep_top_terms
from sparse_ir.vectors import SparseBatch, make_batch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from tokenizers import Tokenizer

    from sparse_ir.models.sides import TableLayout

_ABSURD_LENGTH = 100_000  # tokenizers without a limit of their own say 1e30


class InferenceFreeQueries:
    """Weighs each distinct token of a query once, by a table; special tokens are not added.

    Attributes:
        layout: Where the table and the tokenizer are.
        max_length: Tokens read of a query; None for all.
        weights: The table, float32, (size,), at least 0.
    """

    def __init__(
        self, layout: TableLayout, *, size: int | None = None, max_length: int | None = None
    ) -> None:
        """Load table and tokenizer; no torch, no transformers.

        Args:
            layout: Where they are.
            size: Columns of the document vectors, where they are more than the tokens.
            max_length: Tokens read of a query; by default what the tokenizer says.

        Raises:
            ModelError: a file is missing or damaged, or table and tokenizer do not fit.
        """
        self.layout = layout
        self._tokenizer = load_fast_tokenizer(layout)
        settings = read_object(layout.tokenizer / "tokenizer_config.json")
        self._from_the_left = settings.get("truncation_side", "right") == "left"
        self.max_length = max_length or _length(settings)
        tokens = self._tokenizer.get_vocab(with_added_tokens=True)
        if layout.weights.suffix in (".json", ".txt"):
            weights = _from_names(layout.weights, tokens)
        else:
            weights = _from_safetensors(layout.weights)
        wanted = max(size or 0, len(weights), max(tokens.values(), default=-1) + 1)
        self.weights = np.pad(weights, (0, wanted - len(weights)))

    @cached_property
    def vocabulary(self) -> tuple[str, ...]:
        """The token of every column; a column without a token of its own is "[id:N]"."""
        return distinct_terms(map(self._tokenizer.id_to_token, range(len(self.weights))))

    @cached_property
    def query_fingerprint(self) -> str:
        """SHA-256, hex, of table, tokenizer, length and prompt."""
        used = np.trim_zeros(self.weights, "b")  # columns without a weight change no vector
        return fingerprint(
            {
                "encoder": "inference-free",
                "weights": hashlib.sha256(used.astype("<f4").tobytes()).hexdigest(),
                "tokenizer": tokenizer_digest(self.layout.tokenizer),
                "max_length": self.max_length,
                "lowercase": self.layout.lowercase,
                "prompt": self.layout.prompt,
            }
            | ({"query_terms": self.layout.terms} if self.layout.terms else {})
        )

    def encode_queries(
        self, texts: Sequence[str], *, ids: Sequence[str] | None = None
    ) -> SparseBatch:
        """Weigh queries, in the order given; see ``SparseEncoder``."""
        names = text_ids(texts, ids)
        read = [encodable(self.layout.prompt + text) for text in texts]
        found = self._tokenizer.encode_batch_fast(read, add_special_tokens=False)
        cut = sum(len(tokens.ids) > len(self._kept(tokens.ids)) for tokens in found)
        if cut:
            warn_of_cut(cut, len(texts), self.max_length)
        return self._weigh(names, [self._kept(tokens.ids) for tokens in found])

    def _weigh(self, names: Sequence[str], tokens: Sequence[Sequence[int]]) -> SparseBatch:
        rows = [np.unique(np.asarray(row, np.int64)) for row in tokens]
        columns = np.concatenate([np.zeros(0, np.int64), *rows])
        ends = np.concatenate([[0], np.cumsum([len(row) for row in rows], dtype=np.int64)])
        shape = (len(rows), len(self.weights))
        batch = make_batch(
            names, sparse.csr_array((self.weights[columns], columns, ends), shape=shape)
        )
        return keep_top_terms(batch, self.layout.terms) if self.layout.terms else batch

    def explain(self, text: str, *, query: bool = True) -> Explanation:
        """Weigh one query and name the first word that produced each term."""
        del query
        prompt = self.layout.prompt
        found = self._tokenizer.encode(encodable(prompt + text), add_special_tokens=False)
        kept = self._kept(range(len(found.ids)))
        all_words = words_of(
            found.tokens, found.ids, found.ids, found.word_ids, found.offsets, text, prompt
        )
        first: dict[int, int] = {}
        for place in kept:
            first.setdefault(found.ids[place], place)
        weighed = self._weigh([text], [self._kept(found.ids)]).weights.indices.tolist()
        origins = [
            TermOrigin(self.vocabulary[c], float(self.weights[c]), *all_words[first[c]])
            for c in sorted(weighed, key=first.__getitem__)
        ]
        origins.sort(key=lambda origin: -origin.weight)
        return Explanation(text, tuple(origins), len(kept) < len(found.ids))

    def text_terms(self, text: str) -> list[str]:
        """List the tokens of a text, as far as they are read; see ``SparseEncoder``."""
        added = self._tokenizer.get_added_tokens_decoder()
        found = self._kept(self._tokenizer.encode(encodable(text), add_special_tokens=False).ids)
        return [
            self.vocabulary[i]
            for i in dict.fromkeys(found)
            if i not in added or not added[i].special
        ]

    def _kept(self, tokens: Sequence[int]) -> Sequence[int]:
        if self.max_length is None or len(tokens) <= self.max_length:
            return tokens
        return tokens[-self.max_length :] if self._from_the_left else tokens[: self.max_length]


def load_fast_tokenizer(layout: TableLayout) -> Tokenizer:
    """Load a tokenizer with the ``tokenizers`` library alone; it neither cuts nor pads.

    Raises:
        ModelError: there is none in the fast form, or it is damaged.
    """
    from tokenizers import Tokenizer, normalizers

    path = layout.tokenizer / "tokenizer.json"
    if not path.is_file():
        raise ModelError(
            f"{layout.tokenizer} holds no tokenizer.json, which inference-free queries need. Save "
            "the model's tokenizer in its fast form beside it."
        )
    try:
        tokenizer: Tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises nothing more special
        raise ModelError(f"{path}: the tokenizer cannot be loaded: {error}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    if layout.lowercase:
        own = [] if tokenizer.normalizer is None else [tokenizer.normalizer]
        tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), *own])
    return tokenizer


def _length(settings: Mapping[str, Any]) -> int | None:
    length = settings.get("model_max_length")
    if not isinstance(length, int | float) or isinstance(length, bool):
        return None
    return int(length) if 0 < length < _ABSURD_LENGTH else None


def _from_names(path: Path, tokens: Mapping[str, int]) -> NDArray[Any]:
    found = read_json(path) if path.suffix == ".json" else _lines(path)
    table = check_table(found, path, tokens)
    weights = np.zeros(max(tokens.values(), default=-1) + 1, np.float32)
    for token, weight in table.items():
        weights[tokens[token]] = weight
    return weights


def _lines(path: Path) -> dict[str, float]:
    """Read lines of token, tab, weight."""
    table: dict[str, float] = {}
    try:
        with path.open(encoding="utf-8", newline="\n") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                token, _, weight = line.rstrip("\r\n").rpartition("\t")
                try:
                    table[token] = float(weight)
                except ValueError:
                    raise ModelError(
                        f"{path}:{number}: {line.strip()[:60]!r} is not a token, a tab and a "
                        "weight."
                    ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{path} cannot be read: {error}") from error
    return table


def check_table(table: Any, where: object, tokens: Mapping[str, int]) -> Mapping[str, float]:
    """See that a table gives tokens of a vocabulary finite weights of at least 0.

    Args:
        table: Token -> weight.
        where: What the message names.
        tokens: Token -> id.

    Raises:
        ModelError: it does not.
    """
    if not isinstance(table, dict) or not table:
        raise ModelError(f"{where} is no table of token -> weight. Write a JSON object of numbers.")
    for token, weight in table.items():
        if token not in tokens:
            raise ModelError(
                f"{where} weighs {token!r}, which is no token of the tokenizer beside it. They do "
                "not belong together."
            )
        number = isinstance(weight, int | float) and not isinstance(weight, bool)
        if not number or not math.isfinite(weight) or weight < 0:
            raise _bad_weight(where, token, weight)
    return table


def _from_safetensors(path: Path) -> NDArray[Any]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    if not path.is_file():
        raise ModelError(f"{path.parent} holds no {path.name}, the weights of the query side.")
    try:
        weights = np.asarray(load_file(path)["weight"], np.float32)
    except (SafetensorError, KeyError, TypeError, OSError) as error:
        raise ModelError(f"{path} holds no weights of tokens: {error}") from None
    if weights.ndim != 1:
        raise ModelError(f"{path}: the weights have {weights.ndim} dimensions, they need one.")
    bad = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
    if bad.size:
        raise _bad_weight(path, f"number {bad[0]}", weights[bad[0]])
    return weights


def _bad_weight(where: object, token: str, weight: object) -> ModelError:
    return ModelError(
        f"{where}: the weight of token {token} is {weight}. Weights are finite numbers of at "
        "least 0."
    )
