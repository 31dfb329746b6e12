"""Vectors of real hub models against their own libraries', for whoever has a network.

    SPARSE_IR_PICKLE=1 python evaluation/hub_parity.py [--only NAME ...] [--out evaluation/results]

Each model is loaded by sparse-ir and by what its makers name: sentence-transformers, transformers
with the formula of the model card, or body and projection by hand (castorini). A row tells the
largest difference of a weight over some texts, as query and as document; more than 1e-4 ends with
exit code 1. A model that cannot be had is named and skipped: without SPARSE_IR_PICKLE=1, which
needs torch 2.6 or later, those whose weights the hub has as pickles only, such as castorini's;
without a token (HF_TOKEN), those that are gated. tests/models/ does the same with tiny models made
in each layout.
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import transformers

from sparse_ir import __version__, load_encoder
from sparse_ir.errors import SparseIRError
from sparse_ir.models.loading import find_model
from sparse_ir.models.pickles import PERMISSION, pickles_allowed

TOLERANCE = 1e-4
TEXTS = (
    "what causes a rainbow?",
    "The Denver Broncos won Super Bowl 50, beating the Carolina Panthers 24-10.",
    "naïve café – 3.5% of GDP; U.S. trade",
    "Machine learning is a field of study that gives computers the ability to learn. " * 12,
)


class Model(NamedTuple):
    """A hub model, what kind of folder it is, and who computes it beside us."""

    name: str
    layout: str
    library: str


MODELS = (
    Model("prithivida/Splade_PP_en_v1", "plain masked LM", "transformers"),
    Model("naver/splade-cocondenser-ensembledistil", "plain masked LM", "transformers"),
    Model("bizreach-inc/light-splade-japanese-56M", "light-splade (needs sparse-ir[ja])",
          "transformers"),
    Model("naver/splade-v3-distilbert", "sentence-transformers (gated)", "sentence-transformers"),
    Model("ibm-granite/granite-embedding-30m-sparse", "sentence-transformers",
          "sentence-transformers"),
    Model("sparse-encoder-testing/splade-bert-tiny-nq", "sentence-transformers",
          "sentence-transformers"),
    Model("sparse-encoder-testing/inference-free-splade-bert-tiny-nq",
          "sentence-transformers, Router", "sentence-transformers"),
    Model("opensearch-project/opensearch-neural-sparse-encoding-doc-v1",
          "sentence-transformers, Router, idf.json", "sentence-transformers"),
    Model("opensearch-project/opensearch-neural-sparse-encoding-doc-v2-distill",
          "sentence-transformers, Router, idf.json", "sentence-transformers"),
    Model("opensearch-project/opensearch-neural-sparse-encoding-doc-v3-distill",
          "sentence-transformers, Router, idf.json", "sentence-transformers"),
    Model("castorini/unicoil-msmarco-passage", "castorini uniCOIL", "castorini"),
    Model("castorini/unicoil-noexp-msmarco-passage", "castorini uniCOIL", "castorini"),
)  # fmt: skip


def by_sentence_transformers(name, folder):
    import sentence_transformers

    del name
    model = sentence_transformers.SparseEncoder(str(folder), device="cpu")
    return (
        lambda text: model.encode_query(text).to_dense().numpy(),
        lambda text: model.encode_document(text).to_dense().numpy(),
    )


def by_transformers(name, folder):
    del name
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForMaskedLM.from_pretrained(folder).eval()
    length = min(tokenizer.model_max_length, 512)

    @torch.no_grad()
    def weigh(text):
        tokens = tokenizer(text, return_tensors="pt", truncation=True, max_length=length)
        return model(**tokens).logits[0].amax(dim=0).relu().log1p().numpy()

    return weigh, weigh


def by_hand(name, folder):
    """UniCOIL as Pyserini computes it, before it rounds the weights of queries to 1/51."""
    del name
    path = next(p for p in (folder / "model.safetensors", folder / "pytorch_model.bin")
                if p.is_file())  # fmt: skip
    if path.suffix == ".bin":
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    else:
        from safetensors.torch import load_file

        tensors = load_file(path)
    tensors = {key.removeprefix("coil_encoder."): value for key, value in tensors.items()}
    body = transformers.BertModel(transformers.BertConfig.from_pretrained(folder)).eval()
    body.load_state_dict(
        {key.removeprefix("bert."): v for key, v in tensors.items() if key.startswith("bert.")},
        strict=False,
    )
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)

    @torch.no_grad()
    def weigh(text, length, *, add):
        tokens = tokenizer(text, return_tensors="pt", truncation=True, max_length=length)
        states = body(tokens["input_ids"], attention_mask=tokens["attention_mask"])[0][0]
        found = (states @ tensors["tok_proj.weight"].T + tensors["tok_proj.bias"]).relu()[:, 0]
        row = np.zeros(body.config.vocab_size, np.float32)
        for i, weight in zip(tokens["input_ids"][0].tolist(), found.tolist(), strict=True):
            if i != tokenizer.cls_token_id:
                row[i] = row[i] + weight if add else max(row[i], weight)
        return row

    return lambda text: weigh(text, 128, add=True), lambda text: weigh(text, 512, add=False)


LIBRARIES = {
    "sentence-transformers": by_sentence_transformers,
    "transformers": by_transformers,
    "castorini": by_hand,
}


def compare(model: Model) -> dict[str, float]:
    """The largest difference of a weight, as query and as document."""
    _, folder = find_model(model.name)
    ours = load_encoder(model.name, device="cpu")
    query, document = LIBRARIES[model.library](model.name, folder)
    found = {}
    for side, encode, theirs in (
        ("query", ours.encode_queries, query),
        ("document", ours.encode_documents, document),
    ):
        rows = [(encode([t]).weights.toarray()[0], np.asarray(theirs(t))) for t in TEXTS]
        # One may have columns for padding of the vocabulary that the other lacks.
        found[side] = max(
            float(np.abs(a[: len(b)] - b[: len(a)]).max(initial=0.0)) for a, b in rows
        )
    return found


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", nargs="*", default=[], help="names of models; all by default")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    chosen = [m for m in MODELS if not options.only or m.name in options.only]
    chosen += [Model(name, "?", "sentence-transformers") for name in options.only
               if name not in {m.name for m in MODELS}]  # fmt: skip
    rows, bad = [], False
    for model in chosen:
        try:
            found = compare(model)
        except (SparseIRError, OSError) as error:
            print(f"{model.name}: skipped. {error}", file=sys.stderr)
            continue
        bad |= max(found.values()) > TOLERANCE
        rows.append((model, found))
        print(json.dumps({"model": model.name, **found}))
    skipped = len(chosen) - len(rows)
    if skipped:
        hint = "" if pickles_allowed() else f" Some may want {PERMISSION}=1, see above."
        print(f"{skipped} of {len(chosen)} models skipped.{hint}", file=sys.stderr)
    if not rows:
        return 1
    lines = [
        "# Hub models against their own libraries",
        "",
        f"`{PERMISSION}={int(pickles_allowed())} python evaluation/hub_parity.py`, "
        f"{datetime.now(timezone.utc).date().isoformat()}, sparse-ir {__version__}. "
        f"The largest difference of a weight over {len(TEXTS)} texts.",
        "",
        "| model | layout | beside | query | document |",
        "| --- | --- | --- | ---: | ---: |",
        *(f"| {m.name} | {m.layout} | {m.library} | {f['query']:.1e} | {f['document']:.1e} |"
          for m, f in rows),
        "",
    ]  # fmt: skip
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "hub-parity.md").write_text("\n".join(lines), encoding="utf-8")
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
