"""Lay out JaQuAD for ``pipelines/japanese.yaml``, and compare ways to cut Japanese into terms.

    python evaluation/japanese.py --data jaquad --out DATA
    cd DATA && sparse-ir run japanese

jaquad is the collection in BEIR layout with ``triplets.bm25.jsonl.gz`` (query, positive, mined
negative); ``--lay-out-only`` writes the same files of a collection in any language, and no table.
Only its training half is used: paragraphs that a training query asks for, the first 5,000 triplets
among them, and for validation 300 training queries about other paragraphs, with 1,000 paragraphs to
find them in. Two tables are printed: how a tokenizer agrees with MeCab on 500 paragraphs that it
was not learnt from, and BM25's nDCG@10 on the validation queries by how the texts are cut.
"""

from __future__ import annotations

import argparse
import json
import math
import random
from collections import Counter
from pathlib import Path

import numpy as np
from mini_data import corpus_of, rows
from scipy import sparse
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from sparse_ir.training.vocabulary import SPECIAL, japanese_words, learn_tokenizer

TRIPLETS, QUERIES, DOCUMENTS, SEED = 5_000, 300, 1_000, 7
SIZES, HELD = (8_000, 12_000, 16_000), 500
K1, B = 0.9, 0.4


def write(path: Path, items) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as stream:
        stream.writelines(json.dumps(item, ensure_ascii=False) + "\n" for item in items)


def lay_out(data: Path, out: Path) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """Write what the recipe reads; return all paragraphs, validation queries and their answers."""
    lines = (data / "qrels" / "train.tsv").read_text("utf-8").splitlines()[1:]
    answers = dict(line.split("\t")[:2] for line in lines)
    training = set(answers.values())
    paragraphs = [row for row in rows(corpus_of(data)) if row["_id"] in training]
    queries = {row["_id"]: row for row in rows(data / "queries.jsonl") if row["_id"] in answers}
    found = (row for row in rows(data / "triplets.bm25.jsonl.gz") if row["neg"] in training)
    triplets = [row for row, _ in zip(found, range(TRIPLETS), strict=False)]
    asked = {row["pos"] for row in triplets}
    rng = random.Random(SEED)
    chosen = rng.sample([q for q, d in answers.items() if d not in asked], QUERIES)
    judged = {answers[q] for q in chosen}
    kept = judged | set(rng.sample(sorted(training - judged), DOCUMENTS - len(judged)))
    write(out / "corpus.jsonl", paragraphs)
    write(out / "triplets.jsonl", triplets)
    write(out / "queries.jsonl", [queries[q] for q in dict.fromkeys(r["qid"] for r in triplets)])
    write(out / "validation" / "queries.jsonl", [queries[q] for q in chosen])
    write(out / "validation" / "corpus.jsonl", [p for p in paragraphs if p["_id"] in kept])
    qrels = out / "validation" / "qrels" / "dev.tsv"
    qrels.parent.mkdir(exist_ok=True)
    judgements = "".join(f"{q}\t{answers[q]}\t1\n" for q in chosen)
    qrels.write_text("query-id\tcorpus-id\tscore\n" + judgements, encoding="utf-8")
    texts = {p["_id"]: f"{p['title']} {p['text']}".strip() for p in paragraphs}
    return texts, {q: queries[q]["text"] for q in chosen}, {q: answers[q] for q in chosen}


def ndcg(cut, texts: dict[str, str], queries: dict[str, str], answers: dict[str, str]) -> float:
    """BM25's nDCG@10 where each query has one answer; ties count against it."""
    numbers: dict[str, int] = {}
    places, terms, counts = [], [], []
    for i, text in enumerate(texts.values()):
        for term, count in Counter(cut(text)).items():
            places.append(i)
            terms.append(numbers.setdefault(term, len(numbers)))
            counts.append(count)
    n = len(texts)
    length = np.bincount(places, counts, n)
    frequency = np.bincount(terms)
    idf = np.log1p((n - frequency + 0.5) / (frequency + 0.5))
    tf = np.array(counts, float)
    tf /= tf + K1 * (1 - B + B * length[places] / length.mean())
    weights = sparse.csr_array((idf[terms] * tf, (places, terms)))
    rows_of = {doc_id: i for i, doc_id in enumerate(texts)}
    total = 0.0
    for query_id, text in queries.items():
        query = np.zeros(len(numbers))
        np.add.at(query, [numbers[t] for t in cut(text) if t in numbers], 1)
        scores = weights @ query
        rank = int((scores >= scores[rows_of[answers[query_id]]]).sum())
        total += 1 / math.log2(rank + 1) if rank <= 10 else 0.0
    return total / len(queries)


def agreement(tokenizer: Tokenizer, words: list[list[str]]) -> tuple[float, float, float]:
    """Compare a tokenizer with MeCab's words.

    Returns:
        The share of MeCab's words that are one token, the share of its cuts that the tokenizer
        makes too, and tokens per word.
    """
    whole = cuts = tokens = total = 0
    for text in words:
        spans, start = set(), 0
        for word in text:
            spans.add((start, start + len(word)))
            start += len(word)
        found = tokenizer.encode("".join(text), add_special_tokens=False).offsets
        whole += len(spans & set(found))
        cuts += len({stop for _, stop in spans} & {stop for _, stop in found})
        tokens, total = tokens + len(found), total + len(spans)
    return whole / total, cuts / total, tokens / total


def expected_maximum(words: list[list[str]], size: int) -> Tokenizer:
    """The unigram trainer of the tokenizers library on MeCab's words, to compare with."""
    learnt = Tokenizer(models.Unigram())
    learnt.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.UnigramTrainer(
        vocab_size=size, special_tokens=list(SPECIAL), unk_token="[UNK]", show_progress=False
    )
    learnt.train_from_iterator((" ".join(text) for text in words), trainer)
    return learnt


def print_agreement(texts: list[str]) -> None:
    normalized = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    cut = japanese_words()
    clean = [normalized.normalize_str(text) for text in texts]
    words = [cut(text) for text in clean]
    print("| tokenizer | words whole | cuts made | tokens per word |\n|---|---:|---:|---:|")
    made = {
        f"counted, {size:,}": learn_tokenizer(clean[:-HELD], language="ja", size=size)
        for size in SIZES
    }
    made["unigram trainer, 12,000"] = expected_maximum(words[:-HELD], 12_000)
    for name, tokenizer in made.items():
        whole, cuts, tokens = agreement(tokenizer, words[-HELD:])
        print(f"| {name} | {whole:.3f} | {cuts:.3f} | {tokens:.2f} |")
    print()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--lay-out-only", action="store_true", help="write the files, no tables")
    arguments = parser.parse_args()
    texts, queries, answers = lay_out(arguments.data, arguments.out)
    if arguments.lay_out_only:
        return
    print_agreement(list(texts.values()))
    words = japanese_words()
    cuts = {
        "MeCab's words": lambda text: words(text.lower()),
        "pairs of characters": lambda text: [text[i : i + 2] for i in range(len(text) - 1)],
    }
    for size in SIZES:
        tokenizer = learn_tokenizer(texts.values(), language="ja", size=size)
        cuts[f"tokenizer of {size:,}"] = lambda text, tokenizer=tokenizer: (
            tokenizer.encode(text, add_special_tokens=False).tokens
        )
    small = {row["_id"] for row in rows(arguments.out / "validation" / "corpus.jsonl")}
    few = {doc_id: text for doc_id, text in texts.items() if doc_id in small}
    print(f"| terms | among {len(few):,} paragraphs | among {len(texts):,} |\n|---|---:|---:|")
    for name, cut in cuts.items():
        figures = [ndcg(cut, pool, queries, answers) for pool in (few, texts)]
        print(f"| {name} | {figures[0]:.4f} | {figures[1]:.4f} |")


if __name__ == "__main__":
    main()
