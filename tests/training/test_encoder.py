"""The model in training weighs as the folder that is saved of it."""

from __future__ import annotations

import numpy as np
import pytest

from sparse_ir.config import load_settings
from sparse_ir.models.loading import load_encoder
from sparse_ir.training import train as training
from sparse_ir.training.encoder import TraineeEncoder
from sparse_ir.training.settings import TrainSettings

LONG = " ".join(["cat sat on mat run dog the"] * 3)  # 21 tokens and 2 special ones
LENGTHS = {"model__query_tokens": 6, "model__document_tokens": 12}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"model__query_encoder": "separate"},
        {"model__query_encoder": "table"},
        {"model__query_encoder": "table", "model__query_terms": 2},
        {"model__table_weight": 0.5},
        {"model__max_length": 9},
    ],
)
def test_a_long_query_weighs_in_a_validation_as_with_the_saved_folder(
    run, tmp_path, monkeypatch, changes
):
    found = {}
    save = training.save_trained

    def kept(out, trainee, backbone, settings, *others):
        encoder = TraineeEncoder(trainee, backbone.tokenizer, settings.model)
        found["queries"] = encoder.queries([LONG]).toarray()
        if trainee.table is not None:
            found["table"] = encoder.queries([LONG], table=True).toarray()
        save(out, trainee, backbone, settings, *others)

    monkeypatch.setattr(training, "save_trained", kept)
    values = run.values(optimizer__steps=1, **LENGTHS, **changes)
    training.train(load_settings(TrainSettings, values, where="test"))
    saved = load_encoder(tmp_path / "model", device="cpu").encode_queries([LONG])
    np.testing.assert_allclose(saved.weights.toarray(), found["queries"], atol=2e-4)
    if "table" in found:
        table = load_encoder(tmp_path / "model", device="cpu", queries="inference-free")
        by_table = table.encode_queries([LONG]).weights.toarray()
        np.testing.assert_allclose(by_table, found["table"], atol=2e-4)
