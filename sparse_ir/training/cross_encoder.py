"""A cross-encoder: reads a query and a document together and gives one logit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sparse_ir.errors import ModelError
from sparse_ir.models.backbone import Backbone, Options
from sparse_ir.models.batches import beginning, encodable, pad, token_batches
from sparse_ir.models.layouts import read_object, saved_length
from sparse_ir.models.tokens_ahead import WINDOW

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray


class CrossEncoder:
    """A sequence classifier with one logit; scores are its logits, without a sigmoid."""

    def __init__(self, folder: Path, options: Options) -> None:
        """Load a folder that transformers or sentence-transformers saved.

        Raises:
            ModelError: it holds no classifier with one logit.
        """
        reader = read_object(folder / "sentence_bert_config.json")
        self._backbone = Backbone(
            folder,
            options,
            auto="AutoModelForSequenceClassification",
            saved_length=saved_length(reader, folder),
        )
        labels = self._backbone.config.num_labels
        if labels != 1:
            raise ModelError(
                f"{folder} gives {labels} logits a pair; a cross-encoder that scores gives one."
            )
        self._typed = "token_type_ids" in self._backbone.tokenizer.model_input_names
        self.fingerprint = self._backbone.fingerprint(
            {"kind": "cross-encoder", "precision": options.precision}
        )

    def score_pairs(
        self, queries: Sequence[str], documents: Sequence[str], advance: Callable[[int], None]
    ) -> NDArray[np.float64]:
        """Score the i-th query with the i-th document, (n,), in batches of like length.

        Raises:
            ModelError: a score is no finite number.
        """
        scores = np.zeros(len(queries))
        for start in range(0, len(queries), WINDOW):
            part = slice(start, start + WINDOW)
            scores[part] = self._score(queries[part], documents[part], advance)
        if not np.isfinite(scores).all():
            raise ModelError(
                f"{self._backbone.folder} gives scores that are not finite numbers. If you asked "
                "for fp16, use bf16 or fp32."
            )
        return scores

    def _score(
        self, queries: Sequence[str], documents: Sequence[str], advance: Callable[[int], None]
    ) -> NDArray[np.float64]:
        rows, types = self._tokenize(queries, documents)
        scores = np.zeros(len(rows))
        budget = self._backbone.batch_tokens
        for batch in token_batches([len(row) for row in rows], batch_tokens=budget):
            inputs = {}
            if self._typed:
                inputs["token_type_ids"] = torch.from_numpy(pad([types[i] for i in batch], 0)[0])
            _, _, output = self._backbone.forward([rows[i] for i in batch], **inputs)
            scores[batch] = output.logits[:, 0].double().cpu().numpy()
            advance(len(batch))
        return scores

    def _tokenize(
        self, queries: Sequence[str], documents: Sequence[str]
    ) -> tuple[list[list[int]], list[list[int]]]:
        length = self._backbone.max_length
        found: Any = self._backbone.tokenizer(
            [self._read(text, length) for text in queries],
            [self._read(text, length) for text in documents],
            truncation="longest_first",
            max_length=length,
            return_attention_mask=False,
            return_token_type_ids=self._typed,
            verbose=False,
        )
        return found["input_ids"], found["token_type_ids"] if self._typed else []

    def _read(self, text: str, length: int) -> str:
        """As much of a text as may count, where that alone fills the limit; else all of it."""
        text, tokenizer = encodable(text), self._backbone.tokenizer
        if getattr(tokenizer, "truncation_side", "right") != "right":
            return text
        head = beginning(text, length)
        if len(head) == len(text):
            return text
        found = tokenizer(head, add_special_tokens=False, truncation=False, verbose=False)
        return head if len(found["input_ids"]) >= length else text
