"""Whether the tokeniser is ever the bottleneck: documents a second of it alone, and of encoding.

    python evaluation/speed/tokenise.py CORPUS [--documents 2000] [--model FOLDER]
        [--precision bf16]

The tokeniser alone makes the tokens of chunk after chunk, by the same function and in the same
chunks as ``sparse-ir index`` does it in a thread beside the model. Then the whole road encodes the
same documents. Processor seconds count all threads: where others use the machine as well, they tell
more than the seconds by the clock.
"""

from __future__ import annotations

import argparse
import time
from itertools import islice

from sparse_ir.data.corpora import read_documents
from sparse_ir.encoding.chunks import encode_corpus
from sparse_ir.models.batches import tokenize
from sparse_ir.models.loading import load_encoder

CHUNK = 512  # documents, the default of ``sparse-ir index``


def tokens_alone(encoder, documents):
    texts = [document.content for document in documents]
    for start in range(0, len(texts), CHUNK):
        tokenize(encoder.tokenizer, texts[start : start + CHUNK], encoder.max_length)


def whole_road(encoder, documents):
    for _ in encode_corpus(documents, encoder, chunk_documents=CHUNK):
        pass


def measured(act, encoder, documents):
    began, used = time.perf_counter(), time.process_time()
    act(encoder, documents)
    return time.perf_counter() - began, time.process_time() - used


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus")
    parser.add_argument("--documents", type=int, default=2000)
    parser.add_argument("--model")
    parser.add_argument("--precision", default="fp32")
    args = parser.parse_args()
    documents = list(islice(read_documents(args.corpus), args.documents))
    encoder = load_encoder(args.model, device="cpu", precision=args.precision)
    for act in (tokens_alone, whole_road):  # what is loaded late is loaded now
        act(encoder, documents[:16])
    found = {
        "tokeniser alone": measured(tokens_alone, encoder, documents),
        "whole road": measured(whole_road, encoder, documents),
    }
    of_road = found["whole road"][1]
    print(f"{len(documents):,} documents, {args.precision}.\n")
    print("| | documents a second | a processor second | share of the road's processor time |")
    print("| --- | ---: | ---: | ---: |")
    for name, (seconds, used) in found.items():
        rates = f"{len(documents) / seconds:,.1f} | {len(documents) / used:,.1f}"
        print(f"| {name} | {rates} | {used / of_road:.1%} |")


if __name__ == "__main__":
    main()
