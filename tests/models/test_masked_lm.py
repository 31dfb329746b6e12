from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
import transformers
from transformers.utils import logging as transformers_logging

from sparse_ir.errors import ModelError
from sparse_ir.models.head import term_weights
from sparse_ir.models.masked_lm import MaskedLM, load_masked_lm, load_tokenizer

SIZE = 120
COMMON = {
    "vocab_size": SIZE,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
}
DISTILBERT = {
    "vocab_size": SIZE,
    "dim": 32,
    "n_layers": 2,
    "n_heads": 4,
    "hidden_dim": 64,
    "max_position_embeddings": 64,
}
SPECIAL = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
CONFIGS = [
    transformers.BertConfig(**COMMON),
    transformers.BertConfig(**COMMON, tie_word_embeddings=False),
    transformers.DistilBertConfig(**DISTILBERT),
    transformers.RobertaConfig(**COMMON),
    transformers.XLMRobertaConfig(**COMMON),
    transformers.ModernBertConfig(**COMMON, **SPECIAL, cls_token_id=1, sep_token_id=2),
    transformers.DebertaV2Config(**COMMON),
    transformers.AlbertConfig(**COMMON, embedding_size=16),
    transformers.ElectraConfig(**COMMON, embedding_size=16),
    transformers.MPNetConfig(**COMMON),
]


def random_model(config):
    torch.manual_seed(0)
    model = transformers.AutoModelForMaskedLM.from_config(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):  # new models have none worth testing
                parameter.normal_(std=0.3)
    return model


def batch():
    ids = torch.randint(5, SIZE, (3, 12), generator=torch.Generator().manual_seed(3))
    mask = torch.ones_like(ids)
    mask[1, 7:] = mask[2, 3:] = 0
    return ids, mask


def assert_same_weights(model):
    ids, mask = batch()
    with torch.inference_mode():
        logits = model(input_ids=ids, attention_mask=mask).logits
        expected = (torch.log1p(logits.relu()) * mask.unsqueeze(-1)).amax(dim=1)
        split = MaskedLM(model, Path("model"))
        found = term_weights(split.hidden(ids, mask), mask, split.layer).weights
    assert (expected > 0).any()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.model_type)
def test_split_models_give_the_weights_of_their_logits(config):
    assert_same_weights(random_model(config))


class BehindTheLayer(torch.nn.Module):
    """An MLM head that does something to the logits of its decoder."""

    def __init__(self, head, change):
        super().__init__()
        self.head, self.change = head, change

    @property
    def predictions(self):
        return self.head.predictions

    def forward(self, hidden):
        return self.change(self.head(hidden))


class AroundTheLayer(BehindTheLayer):
    """An MLM head that reads its decoder's weight and does not call it."""

    def __init__(self, head):
        super().__init__(head, change=None)

    def forward(self, hidden):
        decoder = self.predictions.decoder
        return self.predictions.transform(hidden) @ decoder.weight.T + decoder.bias


@pytest.mark.parametrize(
    "change",
    [
        lambda logits: logits + torch.linspace(-1, 1, SIZE),
        lambda logits: logits * 0.25,
        lambda logits: logits * 3.0 + torch.linspace(-1, 1, SIZE),
    ],
    ids=["bias", "scale", "both"],
)
def test_a_bias_or_scale_behind_the_output_layer_is_found(change):
    model = random_model(CONFIGS[0])
    model.cls = BehindTheLayer(model.cls, change)
    assert_same_weights(model)


def test_a_head_of_an_unknown_kind_is_refused():
    model = random_model(CONFIGS[0])
    model.cls = BehindTheLayer(model.cls, torch.tanh)
    with pytest.raises(ModelError, match=r"^somewhere: .*output layer"):
        MaskedLM(model, Path("somewhere"))


def test_a_head_that_does_not_call_its_output_embeddings_is_refused():
    model = random_model(CONFIGS[0])
    model.cls = AroundTheLayer(model.cls)
    with pytest.raises(ModelError, match="output layer"):
        MaskedLM(model, Path("somewhere"))


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_16_bits_are_for_the_body_only(precision):
    model = random_model(CONFIGS[0])
    ids, mask = batch()
    split = MaskedLM(model, Path("model"))
    expected = term_weights(split.hidden(ids, mask), mask, split.layer).weights
    split.to(torch.device("cpu"), precision)
    assert split.layer.weight.dtype == split.layer.bias.dtype == torch.float32
    assert {p.dtype for p in model.parameters()} == {split.hidden(ids, mask).dtype}
    found = term_weights(split.hidden(ids, mask), mask, split.layer).weights
    torch.testing.assert_close(found, expected, rtol=0.1, atol=0.05)


def test_a_folder_without_head_is_refused(tmp_path):
    transformers.BertModel(CONFIGS[0]).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"holds no weights for cls\.predictions.*masked-LM head"):
        load_masked_lm(tmp_path)


def test_a_folder_without_weights_is_refused(tiny, tmp_path):
    shutil.copy(tiny / "config.json", tmp_path)
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_masked_lm(tmp_path)


@pytest.mark.parametrize(
    "damage", [lambda b: b[: len(b) // 2], lambda b: b"not weights", lambda b: b""]
)
def test_damaged_weights_are_refused_in_one_line(tiny, tmp_path, damage):
    folder = Path(shutil.copytree(tiny, tmp_path / "damaged"))
    weights = folder / "model.safetensors"
    weights.write_bytes(damage(weights.read_bytes()))
    with pytest.raises(ModelError, match="cannot be loaded") as caught:
        load_masked_lm(folder)
    assert "\n" not in str(caught.value)


def test_weights_of_another_shape_are_refused(tiny, tmp_path):
    folder = Path(shutil.copytree(tiny, tmp_path / "other"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "intermediate_size": 128}))
    with pytest.raises(ModelError):
        load_masked_lm(folder)


def test_weights_that_are_no_numbers_are_refused(tiny, tmp_path):
    model = transformers.AutoModelForMaskedLM.from_pretrained(tiny)
    with torch.no_grad():
        model.bert.encoder.layer[1].output.dense.weight[3, 4] = float("nan")
    model.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"layer\.1\.output\.dense\.weight"):
        load_masked_lm(tmp_path)


def test_a_model_that_is_no_masked_lm_is_refused(tmp_path):
    config = transformers.GPT2Config(vocab_size=SIZE, n_embd=8, n_layer=1, n_head=1)
    transformers.GPT2LMHeadModel(config).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="no masked LM"):
        load_masked_lm(tmp_path)


def test_python_code_of_a_model_is_not_run_unasked(tiny, tmp_path):
    folder = Path(shutil.copytree(tiny, tmp_path / "code"))
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "model_type": "own",
        "auto_map": {"AutoConfig": "own.C", "AutoModelForMaskedLM": "own.M"},
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own.py").write_text("raise SystemExit('run')\n")
    with pytest.raises(ModelError, match="trust_remote_code"):
        load_masked_lm(folder)


def test_a_folder_without_tokenizer_is_refused(tmp_path):
    transformers.BertForMaskedLM(CONFIGS[0]).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="no tokenizer"):
        load_tokenizer(tmp_path)


def test_loading_leaves_the_logging_of_transformers_as_it_was(tiny, capfd):
    before = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    load_masked_lm(tiny)
    load_tokenizer(tiny)
    after = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    assert before == after
    assert capfd.readouterr() == ("", "")
