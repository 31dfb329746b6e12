"""An exported model in ONNX Runtime: the same vectors as the model's own, and no torch."""

from __future__ import annotations

import os
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from sparse_ir.errors import ConfigError, EncodingError, MissingExtraError, ModelError
from sparse_ir.models.base import Explanation, TermOrigin
from sparse_ir.models.batches import own_tokens, pad, token_batches, tokenize, vocabulary_terms
from sparse_ir.models.fast_tokenizer import FastTokenizer
from sparse_ir.models.fingerprint import splade_fingerprint
from sparse_ir.models.inference_free import InferenceFreeQueries
from sparse_ir.models.onnx_folder import GRAPH, read_settings, require_whole
from sparse_ir.models.origins import token_words
from sparse_ir.models.windows import WINDOW, weigh_in_windows
from sparse_ir.pruning import keep_top_terms
from sparse_ir.vectors import SparseBatch, concatenate, select

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from sparse_ir.models.batches import TokenizedTexts

BATCH_TOKENS = 1024
"""Texts times longest text of a batch: the graph makes a number of each token and term."""

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class OnnxEncoder:
    """Weighs texts with an exported graph; see ``onnx_export.py``.

    Its fingerprints are those of the model it was exported from: the export compared their vectors,
    and the files are checked to be those that were compared.

    Attributes:
        path: The folder.
        name: What ``load_encoder`` takes to load it again.
        settings: What the folder says about itself.
        max_length: Tokens read of a text, special ones included.
    """

    def __init__(
        self,
        path: Path,
        *,
        name: str | None = None,
        device: str = "auto",
        batch_tokens: int | None = None,
        max_length: int | None = None,
    ) -> None:
        """Load an exported folder.

        Args:
            path: The folder.
            name: What ``load_encoder`` takes to load it again; the folder by default.
            device: "auto" or "cpu", or "cuda" where ONNX Runtime can use it.
            batch_tokens: Upper bound of texts times longest text in a batch.
            max_length: Read fewer tokens of a text than the model does.

        Raises:
            ModelError: a file is missing or damaged.
            ConfigError: a setting is wrong.
            MissingExtraError: ONNX Runtime is not installed.
        """
        self.path = path
        self.name = name or str(path)
        self.settings = read_settings(path)
        longest = self.settings.max_length
        if max_length is not None and not 1 <= max_length <= longest:
            raise ConfigError(
                f"max_length is {max_length}. This export reads 1 to {longest} tokens."
            )
        self.max_length = max_length or longest
        self.batch_tokens = batch_tokens or BATCH_TOKENS
        self.layout = self.settings.layout(path)
        self._chosen_length = max_length
        self._table = self.settings.table_layout(path)
        self._tokenizer = FastTokenizer(
            path,
            max_length=self.max_length,
            truncation_side=self.settings.truncation_side,
            pad_token_id=self.settings.pad_token_id,
        )
        self._session = _session(path / GRAPH, device)

    @cached_property
    def vocabulary(self) -> tuple[str, ...]:
        """The term of every column; a column without a token of its own is "[id:N]"."""
        return vocabulary_terms(self._tokenizer, self.settings.size)

    @cached_property
    def fingerprint(self) -> str:
        """That of the model it was exported from.

        Raises:
            ModelError: a file is not the one that was exported.
        """
        kept = self.layout.document_terms
        return self._fingerprint(
            self.layout.document_prompt, **({"document_terms": kept} if kept else {})
        )

    @cached_property
    def query_fingerprint(self) -> str:
        """That of the model it was exported from; errors as ``fingerprint``."""
        kept = self.layout.query_terms
        return self._fingerprint(
            self.layout.query_prompt, **({"query_terms": kept} if kept else {})
        )

    @cached_property
    def query_fingerprints(self) -> tuple[str, ...]:
        """Its own, and that of the inference-free query side where there is one."""
        if self._table is None:
            return (self.query_fingerprint,)
        table = InferenceFreeQueries(self._table, max_length=self._chosen_length)
        return (self.query_fingerprint, table.query_fingerprint)

    def encode_documents(
        self,
        texts: Sequence[str],
        *,
        ids: Sequence[str] | None = None,
        on_cut: Callable[[int], None] | None = None,
        advance: Callable[[int], None] = lambda n: None,
    ) -> SparseBatch:
        """Weigh documents, in the order given; see ``SparseEncoder``."""
        found = self._encode(texts, self.layout.document_prompt, ids, on_cut, advance)
        kept = self.layout.document_terms
        return keep_top_terms(found, kept) if kept else found

    def encode_queries(
        self, texts: Sequence[str], *, ids: Sequence[str] | None = None
    ) -> SparseBatch:
        """Weigh queries, in the order given; see ``SparseEncoder``."""
        found = self._encode(texts, self.layout.query_prompt, ids)
        kept = self.layout.query_terms
        return keep_top_terms(found, kept) if kept else found

    def explain(self, text: str, *, query: bool = False) -> Explanation:
        """Weigh one text and name the word that produced each term; see ``SparseEncoder``."""
        prompt = self.layout.query_prompt if query else self.layout.document_prompt
        tokens = tokenize(self._tokenizer, [prompt + text], self.max_length)
        row = tokens.ids[0]
        if not row:
            return Explanation(text, (), tokens.cut[0])
        weights, positions = self._run([row], ["weights", "positions"])
        words = token_words(self._tokenizer, text, row, prompt=prompt)
        columns = np.flatnonzero(weights[0])
        columns = columns[np.argsort(-weights[0][columns], kind="stable")]
        kept = self.layout.query_terms if query else self.layout.document_terms
        origins = (
            TermOrigin(self.vocabulary[c], float(weights[0][c]), *words[positions[0][c]])
            for c in columns[: kept or None].tolist()
        )
        return Explanation(text, tuple(origins), tokens.cut[0])

    def text_terms(self, text: str) -> list[str]:
        """List the tokens of a text, as far as they are read; see ``SparseEncoder``."""
        found = own_tokens(self._tokenizer, text, self.max_length)
        return [self.vocabulary[i] for i in found]

    def _encode(
        self,
        texts: Sequence[str],
        prompt: str,
        ids: Sequence[str] | None,
        on_cut: Callable[[int], None] | None = None,
        advance: Callable[[int], None] = lambda n: None,
    ) -> SparseBatch:
        def tokens(start: int) -> TokenizedTexts:
            part = [prompt + text for text in texts[start : start + WINDOW]]
            return tokenize(self._tokenizer, part, self.max_length)

        return weigh_in_windows(
            texts,
            ids,
            window=WINDOW,
            tokens=tokens,
            weigh=lambda rows, names: self._weigh(rows, names, advance),
            max_length=self.max_length,
            size=self.settings.size,
            on_cut=on_cut,
        )

    def _weigh(
        self, rows: list[list[int]], names: Sequence[str], advance: Callable[[int], None]
    ) -> SparseBatch:
        done: list[SparseBatch] = []
        order: list[int] = []
        for batch in token_batches([len(row) for row in rows], batch_tokens=self.batch_tokens):
            chosen = batch.tolist()
            (weights,) = self._run([rows[i] for i in chosen], ["weights"])
            if not np.isfinite(weights).all():
                raise ModelError(f"{self.name} gives weights that are not finite numbers.")
            done.append(SparseBatch(tuple(names[i] for i in chosen), sparse.csr_array(weights)))
            order.extend(chosen)
            advance(len(chosen))
        return select(concatenate(done), np.argsort(order))

    def _run(self, rows: Sequence[Sequence[int]], outputs: list[str]) -> list[NDArray[Any]]:
        """Run the graph on one batch of token ids."""
        ids, mask = pad(rows, self._tokenizer.pad_token_id)
        if ids.size == 0:  # a tokenizer without special tokens leaves nothing of ""
            return [np.zeros((len(rows), self.settings.size), np.float32) for _ in outputs]
        import onnxruntime

        options = onnxruntime.RunOptions()
        options.only_execute_path_to_fetches = True  # positions are for explanations alone
        try:
            found: list[NDArray[Any]] = self._session.run(
                outputs, {"input_ids": ids, "attention_mask": mask}, options
            )
        except Exception as error:  # the runtime's own kinds have no common name
            raise EncodingError(
                f"ONNX Runtime could not weigh {len(rows)} texts of up to {ids.shape[1]} tokens: "
                f"{_line(error)}. If memory ran out, use a smaller --batch-tokens."
            ) from error
        return found

    def _fingerprint(self, prompt: str, **more: int) -> str:
        require_whole(self.path, self.settings)
        return splade_fingerprint(
            self.layout,
            weights=self.settings.weights,
            tokenizer=self.settings.tokenizer,
            max_length=self.max_length,
            prompt=prompt,
            **more,
        )


def _session(graph: Path, device: str) -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise MissingExtraError("onnxruntime", extra="onnx") from None
    kind = "cpu" if device == "auto" else device.partition(":")[0]
    provider = _PROVIDERS.get(kind)
    if provider not in onnxruntime.get_available_providers():
        raise ConfigError(
            f"device is {device!r}, and the ONNX Runtime that is installed runs on "
            f"{', '.join(onnxruntime.get_available_providers())}. Use cpu."
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", "0"))
    options.log_severity_level = 3  # errors: the library does not write to the terminal
    if not graph.is_file():
        raise ModelError(f"{graph.parent} holds no {graph.name}. Export the model again.")
    try:
        return onnxruntime.InferenceSession(str(graph), options, providers=[provider])
    except Exception as error:
        raise ModelError(f"{graph} cannot be loaded: {_line(error)}. Export again.") from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
