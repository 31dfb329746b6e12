from __future__ import annotations

import json
import shutil
from types import SimpleNamespace

import pytest

from sparse_ir.errors import ModelError
from sparse_ir.models import masked_lm
from sparse_ir.models.layouts import SpladeLayout, read_layout
from sparse_ir.models.loading import load_encoder

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


@pytest.mark.parametrize(
    "options",
    [
        {"max_length": "256"},
        {"max_length": 25.6},
        {"query_terms": None},
        {"document_terms": True},
        {"prune_ratio": "0.1"},
        {"drop_columns": 5},
        {"drop_columns": "special"},
        {"drop_positions": [5]},
        {"pooling": ["max"]},
    ],
)
def test_an_option_of_another_type_is_refused(write, options):
    with pytest.raises(ModelError, match=rf"sparse_ir\.json sets {next(iter(options))} to .*is no"):
        read_layout(write(config={}, sparse_ir=options))


@pytest.mark.parametrize(
    ("files", "where"),
    [
        ({"modules": {"0": "Transformer"}}, r"modules\.json is no list of modules"),
        ({"modules": ["Transformer"]}, r"modules\.json is no list of modules"),
        ({"modules": modules(NEW, POOLING, path=5)}, r"modules\.json has the path 5"),
        ({"sparse_ir": ["special"]}, r"sparse_ir\.json is no JSON object"),
        ({"config_sentence_transformers": [1]}, r"config_sentence_transformers\.json is no JSON"),
        ({"config_sentence_transformers": {"prompts": ["q"]}}, "prompts that are no texts"),
        ({"config_sentence_transformers": {"prompts": {"query": 1}}}, "prompts that are no texts"),
        ({"sentence_bert_config": [1]}, r"sentence_bert_config\.json is no JSON object"),
        ({"sentence_bert_config": {"max_seq_length": "many"}}, "names no length"),
        ({"sentence_bert_config": {"tokenizer_args": [1]}}, "names no length"),
        ({"1_P__config": ["max"]}, r"config\.json is no JSON object"),
    ],
)
def test_a_file_of_another_type_is_refused(write, files, where):
    with pytest.raises(ModelError, match=where):
        read_layout(write(**{"config": {}, "modules": modules(NEW, POOLING), **files}))


def test_a_config_that_is_a_list_is_refused(tiny, tmp_path):
    folder = shutil.copytree(tiny, tmp_path / "model")
    (folder / "config.json").write_text("[]")
    with pytest.raises(ModelError, match=r"config\.json is no JSON object"):
        load_encoder(folder)


def test_lower_casing_with_a_slow_tokenizer_is_refused(tiny, monkeypatch):
    slow = SimpleNamespace(model_max_length=32)  # without a backend_tokenizer
    monkeypatch.setattr(
        masked_lm.transformers.AutoTokenizer, "from_pretrained", lambda *a, **o: slow
    )
    with pytest.raises(ModelError, match=r"do_lower_case.* fast form"):
        masked_lm.load_tokenizer(tiny, lowercase=True)
