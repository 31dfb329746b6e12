"""Save a uniCOIL model: in our own layout, or in that of the castorini checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparse_ir.errors import ModelError, StorageError
from sparse_ir.models import saved_files
from sparse_ir.models.card import render_card
from sparse_ir.models.layouts import read_json
from sparse_ir.models.pretrained import quiet
from sparse_ir.models.unicoil_files import (
    PROJECTION,
    SETTINGS,
    UnicoilLayout,
    UnicoilWeights,
    castorini_tensors,
    settings_file,
)

if TYPE_CHECKING:
    from sparse_ir.models.card import ModelCard


def save_unicoil(
    folder: str | Path,
    *,
    body: Any,
    weights: UnicoilWeights,
    tokenizer: Any,
    layout: UnicoilLayout | None = None,
    card: ModelCard | None = None,
    replace: bool = False,
) -> Path:
    """Write a model folder, whole or not at all.

    Args:
        folder: Where it will lie.
        body: The transformers model before the projection; ``AutoModel`` loads it from there.
        weights: The projection, and the prior where there is one.
        tokenizer: Its transformers tokenizer.
        layout: How it is used; its ``model`` is not looked at. With ``castorini`` it is written for
            Pyserini: lengths, bounds and drops are then Pyserini's.
        card: Written as README.md.
        replace: Replace a model that lies there.

    Returns:
        The folder.

    Raises:
        ConfigError: something lies there.
        ModelError: weights are not finite, or the layout cannot hold them.
        StorageError: it cannot be written.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import save

    layout, folder = layout or UnicoilLayout(Path(folder)), Path(folder)
    own = {"tok_proj.weight": weights.weight.reshape(1, -1), "tok_proj.bias": weights.bias.view(1)}
    if weights.prior is not None:
        own["tok_prior"] = weights.prior
    own = {name: tensor.detach().cpu().float().contiguous() for name, tensor in own.items()}
    for name, tensor in (*body.named_parameters(), *own.items()):
        if not torch.isfinite(tensor).all():
            raise ModelError(f"the weights of {name} are not all finite numbers; not saved.")
    with saved_files.made_aside(folder, replace=replace) as made, quiet():
        try:
            if layout.castorini:
                tensors = castorini_tensors(body, weights)
                body.config.save_pretrained(made)
                saved_files.put(made / "model.safetensors", save(tensors, {"format": "pt"}))
            else:
                body.save_pretrained(made)
                saved_files.put(made / PROJECTION, save(own, {"format": "pt"}))
                saved_files.put_json(made / SETTINGS, settings_file(layout))
            tokenizer.save_pretrained(made)
        except SafetensorError as error:
            raise StorageError(f"{folder} cannot be written: {error}. Make room there.") from error
        config = saved_files.without_traces("config.json", read_json(made / "config.json"))
        if layout.castorini:
            config["architectures"] = ["UniCoilEncoder"]
        saved_files.put_json(made / "config.json", config)
        saved_files.clean_tokenizer(made, max_length=layout.max_length)
        if card is not None:
            saved_files.put(made / "README.md", render_card(card, sides="unicoil").encode())
    return folder
