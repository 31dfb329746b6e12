"""Whether the model at hand is the one that made the index."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparse_ir.errors import ConfigError, ModelError
from sparse_ir.inspecting.findings import WRONG_MODEL, Finding
from sparse_ir.models.loading import load_encoder

if TYPE_CHECKING:
    from sparse_ir.data.shards import ShardManifest
    from sparse_ir.engines.stamp import Stamp
    from sparse_ir.models.base import SparseEncoder


def find_encoder(
    stamp: Stamp,
    model: str | None,
    findings: list[Finding],
    notes: list[str],
    *,
    precision: str | None = None,
) -> SparseEncoder | None:
    """Load the model, where it is to be had and is the one that made the index.

    Args:
        stamp: The index's.
        model: In the place of the model that the stamp names.
        findings: Gets the model that is another one.
        notes: Gets why the model could not be loaded.
        precision: What it computes in, as ``load_encoder`` takes it; None for what the stamp says.

    Raises:
        ConfigError: the precision that was asked for is not to be had here.
        ModelError: the model that was asked for cannot be loaded.
    """
    name = model or stamp.model
    try:
        encoder = load_encoder(name, precision=precision or stamp.precision or "fp32")
    except (ConfigError, ModelError) as error:
        if model is not None or (precision is not None and isinstance(error, ConfigError)):
            raise
        notes.append(f"The index's model could not be loaded: {error}")
        return None
    same = encoder.fingerprint == stamp.fingerprint
    if same and encoder.query_fingerprint in stamp.query_fingerprints:
        return encoder
    findings.append(
        Finding(
            WRONG_MODEL,
            f"the index was made by {stamp.model!r} ({stamp.fingerprint[:12]}); {name!r} is now "
            f"{encoder.fingerprint[:12]}, its queries {encoder.query_fingerprint[:12]}.",
            "Give the model that made the index with --model, or index again.",
        )
    )
    return None


def check_shards(
    stamp: Stamp, manifest: ShardManifest, folder: str, findings: list[Finding]
) -> None:
    """See that vector shards are of the index's model; findings get it where they are not."""
    if manifest.fingerprint == stamp.fingerprint:
        return
    findings.append(
        Finding(
            WRONG_MODEL,
            f"the index was made by {stamp.model!r} ({stamp.fingerprint[:12]}), the vectors in "
            f"{folder} by {manifest.model!r} ({manifest.fingerprint[:12]}).",
            "Give the vectors that were indexed, or index again.",
        )
    )
