from __future__ import annotations

import json

import pytest

from sparse_ir.errors import ModelError
from sparse_ir.models.layouts import SpladeLayout, read_layout

NEW = "sentence_transformers.base.modules.transformer.Transformer"
OLD = "sentence_transformers.sparse_encoder.models.MLMTransformer"
POOLING = "sentence_transformers.sparse_encoder.models.SpladePooling"


@pytest.fixture
def write(tmp_path):
    def write(**files):
        for name, content in files.items():
            path = tmp_path / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.with_suffix(".json").write_text(json.dumps(content))
        return tmp_path

    return write


def modules(*kinds, path=""):
    return [{"type": kind, "path": p} for kind, p in zip(kinds, (path, "1_P"), strict=False)]


def test_a_plain_masked_lm_is_splade_max_and_drops_nothing(write):
    folder = write(config={})
    assert read_layout(folder) == SpladeLayout(folder, pooling="max", activation="log1p")


@pytest.mark.parametrize("kind", [NEW, OLD])
def test_a_sentence_transformers_folder_says_how_it_pools(write, kind):
    folder = write(
        config={},
        modules=modules(kind, POOLING),
        sentence_bert_config={"max_seq_length": 256, "do_lower_case": True},
        config_sentence_transformers={"prompts": {"query": "q: ", "document": ""}},
        **{"1_P__config": {"pooling_strategy": "sum", "activation_function": "log1p_relu"}},
    )
    assert read_layout(folder) == SpladeLayout(
        folder,
        pooling="sum",
        activation="log1p_log1p",
        max_length=256,
        lowercase=True,
        query_prompt="q: ",
    )


def test_the_model_may_lie_in_a_folder_of_its_module(write):
    folder = write(m__config={}, modules=modules(OLD, POOLING, path="m"))
    assert read_layout(folder) == SpladeLayout(folder / "m")


def test_the_default_prompt_is_for_both(write):
    folder = write(
        config={},
        modules=modules(NEW, POOLING),
        config_sentence_transformers={"prompts": {"p": "text: "}, "default_prompt_name": "p"},
    )
    layout = read_layout(folder)
    assert (layout.document_prompt, layout.query_prompt) == ("text: ", "text: ")


@pytest.mark.parametrize(
    "kinds", [(NEW, "x.models.Pooling"), (NEW,), ("x.Router",), (NEW, POOLING, "x.Normalize"), ()]
)
def test_other_modules_are_refused(write, kinds):
    listed = [{"type": kind, "path": ""} for kind in kinds]
    with pytest.raises(ModelError, match=r"modules\.json lists"):
        read_layout(write(config={}, modules=listed))


def test_an_unknown_activation_is_refused(write):
    folder = write(
        config={},
        modules=modules(NEW, POOLING),
        **{"1_P__config": {"activation_function": "gelu"}},
    )
    with pytest.raises(ModelError, match="activation is 'gelu'"):
        read_layout(folder)


def test_a_folder_without_config_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"holds no config\.json"):
        read_layout(tmp_path)


def test_a_file_that_is_not_json_is_named(write):
    folder = write(config={})
    (folder / "modules.json").write_text("{")
    with pytest.raises(ModelError, match=r"modules\.json cannot be read as JSON"):
        read_layout(folder)


def test_sparse_ir_json_sets_options(write):
    folder = write(config={}, sparse_ir={"max_length": 64, "drop_columns": ["special", "the"]})
    assert read_layout(folder) == SpladeLayout(
        folder, max_length=64, drop_columns=("special", "the")
    )


@pytest.mark.parametrize(
    "options", [{"max_lenght": 3}, {"pooling": "mean"}, {"max_length": 0}, {"query_terms": -1}]
)
def test_wrong_options_are_refused(write, options):
    with pytest.raises(ModelError):
        read_layout(write(config={}, sparse_ir=options))
