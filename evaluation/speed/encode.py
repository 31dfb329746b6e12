"""The SPLADE encoder against sentence-transformers and plain transformers.

    python evaluation/speed/encode.py CORPUS [--model FOLDER] [--rounds 5] [--passages 2000]
        [--systems NAME …] [--quality DATASET --split dev]

CORPUS is any corpus that sparse-ir reads. All encode with the same model folder, the bundled model
by default: equal vectors first, then peak memory (a fresh process for each), then throughput (all
in this process, one round after the other, each round in another order). sentence-transformers
sorts by length itself; its batch is the quickest of four sizes. "onnxruntime" is what fastembed
does: an exported graph, batches in the order of the corpus, all logits, numpy behind it (needs
onnx, onnxscript and onnxruntime). The share of the ceiling counts a model's multiplications,
2 x (parameters of the body + vocabulary x width) a token, against a large matrix product in the
same arithmetic, int8 against ``torch._int_mm``, which the int8 layers use. All systems are counted
as if they made every product in that arithmetic. sparse-ir does not: where the processor has VNNI,
int8 products rule out most of the head's in fp32 (so fp32 may pass 1), and at int8 attention and
those of the head that are left stay fp32. --quality adds a dataset's nDCG@10 in each.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import psutil

from sparse_ir.data.corpora import read_documents, read_queries
from sparse_ir.data.datasets import open_dataset
from sparse_ir.data.trec import read_qrels
from sparse_ir.evaluating.metrics import score_run
from sparse_ir.models.loading import load_encoder
from sparse_ir.vectors import top_k

BATCH = 32
MEMORY_TEXTS, MEMORY_TOKENS = 512, 256


def sparse_ir_encoder(folder, batch_tokens=None, precision="fp32"):
    encoder = load_encoder(folder, device="cpu", batch_tokens=batch_tokens, precision=precision)
    return lambda texts: encoder.encode_documents(texts, on_cut=lambda n: None).weights


def sentence_transformers_encoder(folder, passages=None):
    from scipy import sparse
    from sentence_transformers import SparseEncoder

    encoder = SparseEncoder(str(folder), device="cpu")
    best = BATCH

    def encode(texts):
        found = encoder.encode_document(texts, batch_size=best, convert_to_tensor=True)
        found = found.coalesce()
        data = (found.values().numpy(), found.indices().numpy())
        return sparse.csr_array(data, shape=tuple(found.shape))

    if passages is not None:
        taken = {}
        for best in (8, 16, 32, 64):
            encode(passages[:best])
            start = time.perf_counter()
            encode(passages[:256])
            taken[best] = time.perf_counter() - start
        best = min(taken, key=taken.get)
        print(f"sentence-transformers is quickest with batches of {best}.\n", flush=True)
    return encode


def onnx_encoder(folder):
    """As fastembed does it."""
    import onnxruntime
    import torch
    from scipy import sparse
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForMaskedLM.from_pretrained(folder, attn_implementation="eager").eval()
    sample = tokenizer(["a cat", "a cat sat"], padding=True, return_tensors="pt")
    names = ["input_ids", "attention_mask", "token_type_ids"]
    axes = {name: {0: "texts", 1: "tokens"} for name in [*names, "logits"]}
    with tempfile.TemporaryDirectory() as made:
        path = Path(made, "model.onnx")
        torch.onnx.export(
            model,
            tuple(sample[name] for name in names),
            str(path),
            input_names=names,
            output_names=["logits"],
            dynamic_axes=axes,
            dynamo=False,
        )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(str(path), options)

    def encode(texts):
        rows = []
        for start in range(0, len(texts), BATCH):
            inputs = tokenizer(
                texts[start : start + BATCH], padding=True, truncation=True, return_tensors="np"
            )
            (logits,) = session.run(["logits"], {name: inputs[name] for name in names})
            values = np.log1p(np.maximum(logits, 0)) * inputs["attention_mask"][:, :, None]
            rows.append(sparse.csr_array(values.max(axis=1)))
        return sparse.vstack(rows, format="csr")

    return encode


def transformers_encoder(folder):
    """As the recipes on model cards do it: all logits, in the order of the texts."""
    import torch
    from scipy import sparse
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForMaskedLM.from_pretrained(folder).eval()

    def encode(texts):
        rows = []
        for start in range(0, len(texts), BATCH):
            inputs = tokenizer(
                texts[start : start + BATCH], padding=True, truncation=True, return_tensors="pt"
            )
            with torch.inference_mode():
                values = torch.log1p(torch.relu(model(**inputs).logits))
                weights = (values * inputs["attention_mask"].unsqueeze(-1)).amax(dim=1)
            rows.append(sparse.csr_array(weights.numpy()))
        return sparse.vstack(rows, format="csr")

    return encode


SYSTEMS = {
    "sentence-transformers": sentence_transformers_encoder,
    "transformers": transformers_encoder,
    "onnxruntime": onnx_encoder,
    "sparse-ir": sparse_ir_encoder,
    "sparse-ir bf16": partial(sparse_ir_encoder, precision="bf16"),
    "sparse-ir int8": partial(sparse_ir_encoder, precision="int8"),
}
PRECISION = {"sparse-ir bf16": "bf16", "sparse-ir int8": "int8"}


def varied_texts(passages, n=500):
    """Texts from none to far more than 512 tokens: cut, joined, whole, empty, not English."""
    chance = random.Random(0)
    texts = ["", " ", "\n", "日本語のテキスト", "Ünïcödé — “quotes” 🎉 #tag @x", "a" * 3000]
    texts += [" ".join(chance.sample(passages, 12)) for _ in range(24)]
    texts += [p[: chance.randint(1, 60)] for p in chance.sample(passages, 170)]
    texts += chance.sample(passages, n - len(texts))
    chance.shuffle(texts)
    return texts


def compare_vectors(folder, passages):
    texts = varied_texts(passages)
    ours = sparse_ir_encoder(folder)
    found = ours(texts).toarray()
    order = random.Random(1).sample(range(len(texts)), len(texts))
    turned = np.empty_like(found)
    turned[order] = ours([texts[i] for i in order]).toarray()
    theirs = sentence_transformers_encoder(folder)(texts).toarray()
    plain = transformers_encoder(folder)(texts).toarray()
    encoder = load_encoder(folder, device="cpu")
    tokenizer, most = encoder.tokenizer, encoder.layout.document_terms
    lengths = [len(ids) for ids in tokenizer(texts, verbose=False)["input_ids"]]
    print(
        f"{len(texts)} texts of {min(lengths)} to {max(lengths)} tokens, "
        f"{sum(n > 512 for n in lengths)} of them cut at 512, {texts.count('')} empty.\n"
    )
    print("| compared with | largest difference of a weight |\n|---|---:|")
    for name, other in (
        ("sentence-transformers", theirs),
        ("transformers", plain),
        ("sparse-ir, texts in another order", turned),
    ):
        print(f"| {name} | {largest_difference(found, other, most):.1e} |")
    if most:
        print(f"\nThe others' terms beyond the {most} heaviest may only be as light.")
    nonzero = (found > 0).sum(axis=1).mean()
    print(f"\n{nonzero:.0f} terms a text; largest weight {found.max():.2f}.\n", flush=True)


def largest_difference(found, other, most):
    """Of weights; one cut to its heaviest terms may lack what is no heavier than its lightest."""
    wrong = np.abs(found - other)
    if most:
        full = (found > 0).sum(axis=1) >= most
        lightest = np.where(found > 0, found, np.inf).min(axis=1, keepdims=True)
        left_out = (found == 0) & full[:, None]
        wrong = np.where(left_out, np.maximum(other - lightest, 0.0), wrong)
    return wrong.max()


class Peak(threading.Thread):
    """Samples this process's resident memory every millisecond."""

    def __init__(self):
        super().__init__(daemon=True)
        self.process, self.going = psutil.Process(), True
        self.baseline = self.peak = self.process.memory_info().rss

    def run(self):
        while self.going:
            self.peak = max(self.peak, self.process.memory_info().rss)
            time.sleep(0.001)


def measure_memory(name, folder):
    """Encode 512 texts of 256 tokens in this process; print megabytes above the loaded model."""
    texts = [
        " ".join(random.Random(i).choices(WORDS, k=MEMORY_TOKENS - 2)) for i in range(MEMORY_TEXTS)
    ]
    if name.startswith("sparse-ir"):
        encode = SYSTEMS[name](folder, batch_tokens=BATCH * MEMORY_TOKENS)
    else:
        encode = SYSTEMS[name](folder)
    peak = Peak()
    peak.start()
    encode(texts)
    peak.going = False
    peak.join()
    print(json.dumps([peak.baseline / 1e6, (peak.peak - peak.baseline) / 1e6]))


WORDS = ["the", "cat", "sat", "on", "a", "mat", "and", "read", "one", "more", "book", "of", "that"]


def compare_memory(folder, systems):
    print(f"{MEMORY_TEXTS} texts of {MEMORY_TOKENS} tokens, batches of {BATCH} texts.\n")
    print("| | model loaded, MB | peak above that, MB | share |\n|---|---:|---:|---:|")
    reference = None
    for name in systems:
        command = [sys.executable, __file__, "-", "--model", str(folder), "--memory", name]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        baseline, above = json.loads(done.stdout.splitlines()[-1])
        reference = reference or above
        print(f"| {name} | {baseline:.0f} | {above:.0f} | {above / reference:.3f} |", flush=True)
    print()


def multiplications(folder, passages):
    """Of the whole model for all passages, and tokens a passage."""
    from transformers import AutoModelForMaskedLM

    model = AutoModelForMaskedLM.from_pretrained(folder)
    tables = model.base_model.embeddings.parameters()
    body = sum(p.numel() for p in model.base_model.parameters()) - sum(p.numel() for p in tables)
    head = model.get_output_embeddings().weight.numel()
    tokenizer = load_encoder(folder, device="cpu").tokenizer
    lengths = [len(i) for i in tokenizer(passages, truncation=True)["input_ids"]]
    return sum(lengths) * (body + head), sum(lengths) / len(lengths)


def ceiling(precision):
    """Multiplications a second of a large matrix product, the best of a second.

    At int8 that is int8 times int8 into int32, the second matrix transposed, as in
    ``models/int8.py``, without the rounding before it and the scaling behind it.
    """
    import torch

    left, right = torch.randn(4096, 1536), torch.randn(1536, 1536)
    if precision == "int8":
        left, right = (matrix.mul_(30).clamp_(-127, 127).to(torch.int8) for matrix in (left, right))
        multiply = partial(torch._int_mm, left, right.T)
    else:
        kind = torch.bfloat16 if precision == "bf16" else torch.float32
        multiply = partial(torch.matmul, left.to(kind), right.to(kind))
    best, until = 1e9, time.perf_counter() + 1
    while time.perf_counter() < until:
        start = time.perf_counter()
        multiply()
        best = min(best, time.perf_counter() - start)
    return 4096 * 1536 * 1536 / best


def compare_speed(folder, passages, rounds, systems):
    encoders = {name: SYSTEMS[name](folder) for name in systems}
    if "sentence-transformers" in systems:
        encoders["sentence-transformers"] = sentence_transformers_encoder(folder, passages)
    for encode in encoders.values():
        encode(passages[:BATCH])
    wall = {name: [] for name in encoders}
    processor = {name: [] for name in encoders}
    peaks = {PRECISION.get(name, "fp32"): [] for name in systems}
    for turn in range(rounds):
        for name in random.Random(turn).sample(list(encoders), len(encoders)):
            start, used = time.perf_counter(), time.process_time()
            encoders[name](passages)
            wall[name].append(time.perf_counter() - start)
            processor[name].append(time.process_time() - used)
        for kind, found in peaks.items():
            found.append(ceiling(kind))
    needed, tokens = multiplications(folder, passages)
    print(f"{len(passages)} passages of {tokens:.0f} tokens, median of {rounds} rounds.\n")
    print("| | passages a second | wall s | processor s | speed against the first | ceiling |")
    print("|---|---:|---:|---:|---:|---:|")
    first = statistics.median(wall[systems[0]])
    for name in systems:
        seconds, used = statistics.median(wall[name]), statistics.median(processor[name])
        peak = statistics.median(peaks[PRECISION.get(name, "fp32")])
        print(
            f"| {name} | {len(passages) / seconds:.1f} | {seconds:.2f} | {used:.2f} "
            f"| {first / seconds:.2f} | {needed / seconds / peak:.2f} |"
        )
    print()


def compare_quality(folder, dataset, split, systems):
    """What other arithmetic costs: nDCG@10 of a dataset, every document scored."""
    dataset = open_dataset(dataset, split=split)
    documents = list(read_documents(dataset.corpus))
    qrels = read_qrels(dataset.qrels)
    queries = [q for q in read_queries(dataset.queries) if q.query_id in qrels]
    print(f"{dataset.name}, {split}: {len(documents)} documents, {len(queries)} queries.\n")
    print("| | nDCG@10 |\n|---|---:|")
    for name in systems:
        encoder = load_encoder(folder, device="cpu", precision=PRECISION.get(name, "fp32"))
        found = top_k(
            encoder.encode_queries([q.text for q in queries], ids=[q.query_id for q in queries]),
            encoder.encode_documents(
                [d.content for d in documents],
                ids=[d.doc_id for d in documents],
                on_cut=lambda n: None,
            ),
            10,
        )
        run = {q.query_id: dict(hits) for q, hits in zip(queries, found, strict=True) if hits}
        scored = score_run(run, qrels, ("ndcg@10",), min_grade=dataset.min_grade)
        print(f"| {name} | {scored.mean['ndcg@10']:.4f} |", flush=True)
    print()


def versions():
    import sentence_transformers
    import torch
    import transformers

    return (
        f"Python {platform.python_version()}, torch {torch.__version__}, transformers "
        f"{transformers.__version__}, sentence-transformers "
        f"{sentence_transformers.__version__}, {torch.get_num_threads()} threads."
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", metavar="CORPUS")
    parser.add_argument("--model", type=Path, help="A SPLADE folder; the bundled one by default.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--passages", type=int, default=2000, help="How many for throughput.")
    parser.add_argument("--systems", nargs="+", choices=list(SYSTEMS), default=list(SYSTEMS))
    parser.add_argument("--quality", metavar="DATASET", help="Its nDCG@10 in each arithmetic.")
    parser.add_argument("--split", default="dev")
    parser.add_argument("--memory", choices=list(SYSTEMS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    folder = options.model or load_encoder(device="cpu").path
    if options.memory:
        measure_memory(options.memory, folder)
        return
    passages = [d.content for d in islice(read_documents(options.corpus), 5000)]
    passages = random.Random(2).sample(passages, len(passages))
    print(versions() + "\n")
    compare_vectors(folder, passages)
    compare_memory(folder, options.systems)
    if options.quality:
        ours = [name for name in options.systems if name.startswith("sparse-ir")]
        compare_quality(folder, options.quality, options.split, ours)
    compare_speed(folder, passages[: options.passages], options.rounds, options.systems)


if __name__ == "__main__":
    main()
