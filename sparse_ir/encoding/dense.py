"""Dense vectors of documents and queries, as an index keeps them beside the terms."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sparse_ir.engines.stamp import COSINE, SIMILARITIES, DenseSpace
from sparse_ir.errors import ConfigError
from sparse_ir.models.loading import load_dense

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sparse_ir.models.dense import DenseEncoder
    from sparse_ir.types import DenseVector


class DenseSide(NamedTuple):
    """A dense encoder and how its vectors are compared.

    Attributes:
        encoder: Makes the vectors.
        similarity: "cosine": vectors are brought to length 1, so that the dot product is the
            cosine; or "dot".
    """

    encoder: DenseEncoder
    similarity: str

    @property
    def space(self) -> DenseSpace:
        """What an index says of these vectors."""
        encoder = self.encoder
        return DenseSpace(encoder.name, encoder.fingerprint, encoder.width, self.similarity)

    def encode_documents(
        self, texts: Sequence[str], rows: Sequence[int] | None, count: int
    ) -> NDArray[np.float32]:
        """Encode documents.

        Args:
            texts: Of the documents, or of their passages.
            rows: The document of each passage, ascending; None where each text is a document. A
                document of several passages has the mean of their vectors.
            count: How many documents.

        Returns:
            float32, (count, dimension); a row of zeros where a document has no direction.
        """
        vectors = self._scaled(self.encoder.encode(texts))
        if rows is None:
            return vectors
        sums = np.zeros((count, vectors.shape[1]), np.float64)
        np.add.at(sums, np.asarray(rows, np.int64), vectors)
        passages = np.bincount(np.asarray(rows, np.int64), minlength=count)
        return self._scaled((sums / np.maximum(passages, 1)[:, None]).astype(np.float32))

    def encode_queries(self, texts: Sequence[str]) -> list[DenseVector]:
        """Encode queries: a vector each, in order."""
        vectors = self._scaled(self.encoder.encode(texts, query=True))
        return [tuple(row) for row in vectors.tolist()]

    def _scaled(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        if self.similarity != COSINE:
            return vectors
        wide = vectors.astype(np.float64)
        lengths = np.linalg.norm(wide, axis=1, keepdims=True)
        scaled: NDArray[np.float32] = (wide / np.where(lengths > 0, lengths, 1)).astype(np.float32)
        return scaled


def open_dense(
    model: str,
    *,
    similarity: str | None = None,
    device: str = "auto",
    precision: str = "fp32",
    batch_tokens: int | None = None,
) -> DenseSide:
    """Load a dense model.

    Args:
        model: As ``load_dense`` takes it.
        similarity: "cosine" or "dot"; None for what the model says.
        device: As in ``load_dense``.
        precision: As there; int8 is for sparse models and means fp32 here.
        batch_tokens: As there.

    Raises:
        ConfigError: the similarity is not known.
        ModelError: there is no such model.
    """
    if similarity and similarity not in SIMILARITIES:
        raise ConfigError(
            f"dense similarity {similarity!r} is not known. Use {' or '.join(SIMILARITIES)}."
        )
    encoder = load_dense(
        model,
        device=device,
        precision="fp32" if precision == "int8" else precision,
        batch_tokens=batch_tokens,
    )
    return DenseSide(encoder, similarity or encoder.similarity)


def stored(vector: NDArray[np.float32]) -> DenseVector | None:
    """What an index keeps of a row: None for one without a direction, which nothing is near to."""
    return tuple(vector.tolist()) if vector.any() else None
