"""From a corpus to vector shards, as one public function."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from random import Random

import pytest

from sparse_ir.data.shards import read_shard_manifest, read_shards, shard_paths
from sparse_ir.encoding.chunks import encode_corpus
from sparse_ir.encoding.encode import EncodeSettings, encode
from sparse_ir.errors import ConfigError, InputError
from sparse_ir.models.bm25 import Bm25Encoder
from sparse_ir.pruning import Pruning
from sparse_ir.types import Document

ROWS = [{"_id": f"d{i}", "text": f"apple tree number{i % 7}"} for i in range(50)]


def rows_of(out):
    return [
        (doc_id, *(part.tolist() for part in shard.row(i)))
        for shard in read_shards(out)
        for i, doc_id in enumerate(shard.ids)
    ]


def test_shards_hold_the_corpus_in_its_order(write_jsonl, tmp_path):
    corpus = write_jsonl("c.jsonl", ROWS)
    seen = []
    settings = EncodeSettings(
        corpus=str(corpus), out=str(tmp_path / "v"), model="bm25", shard_documents=20
    )
    report = encode(settings, advance=seen.append)
    assert (report.documents, report.encoded, report.shards) == (50, 50, 3)
    assert sum(seen) == 50
    assert [row[0] for row in rows_of(tmp_path / "v")] == [row["_id"] for row in ROWS]
    assert read_shard_manifest(tmp_path / "v").complete


def test_what_is_there_is_left_alone_unless_asked(write_jsonl, tmp_path):
    corpus = write_jsonl("c.jsonl", ROWS)
    settings = EncodeSettings(corpus=str(corpus), out=str(tmp_path / "v"), model="bm25")
    encode(settings)
    with pytest.raises(ConfigError, match="--replace"):
        encode(settings)
    before = rows_of(tmp_path / "v")
    again = encode(EncodeSettings(**{**vars(settings), "replace": True}))
    assert again.encoded == 50
    assert rows_of(tmp_path / "v") == before


def test_a_killed_run_goes_on_and_ends_with_the_same_shards(write_jsonl, tmp_path):
    corpus = write_jsonl("c.jsonl", ROWS)
    whole = EncodeSettings(
        corpus=str(corpus), out=str(tmp_path / "whole"), model="bm25", shard_documents=10
    )
    encode(whole)
    program = """
import os, sys
from sparse_ir.encoding.encode import EncodeSettings, encode
done = 0
def advance(n):
    global done
    done += n
    if done >= 30:
        os._exit(9)
encode(EncodeSettings(corpus=sys.argv[1], out=sys.argv[2], model="bm25", shard_documents=10),
       advance=advance)
"""
    killed = subprocess.run(
        [sys.executable, "-c", program, str(corpus), str(tmp_path / "cut")], env=os.environ
    )
    assert killed.returncode == 9
    resumed = encode(
        EncodeSettings(**{**vars(whole), "out": str(tmp_path / "cut"), "resume": True})
    )
    assert 0 < resumed.encoded < 50
    assert rows_of(tmp_path / "cut") == rows_of(tmp_path / "whole")


def test_a_chunk_is_encoded_when_it_is_asked_for():
    encoder = Bm25Encoder.fit(["apple tree", "pear tree"])
    asked = []

    def documents():
        for i in range(100):
            asked.append(i)
            yield Document(f"d{i}", "apple tree")

    chunks = encode_corpus(documents(), encoder, chunk_documents=10)
    first = next(chunks)
    assert (first.number, len(first.documents), len(asked)) == (0, 10, 10)


def test_pruning_applies_to_every_vector():
    encoder = Bm25Encoder.fit(["apple pear plum", "apple", "pear"])
    (chunk,) = encode_corpus(
        [Document("a", "apple pear plum"), Document("b", "apple")],
        encoder,
        pruning=Pruning(top_k=2),
    )
    assert [len(chunk.batch.row(i)[0]) for i in range(2)] == [2, 1]


def test_another_corpus_is_noticed_where_a_run_goes_on():
    encoder = Bm25Encoder.fit(["apple"])
    (chunk,) = encode_corpus([Document("a", "apple")], encoder, chunk_documents=1)
    done = [_line_of(chunk)]
    with pytest.raises(InputError, match="not the one this run was started with"):
        list(encode_corpus([Document("a", "pear")], encoder, chunk_documents=1, done=done))


def _bad_line(rows):
    lines = [json.dumps(row) + "\n" for row in rows]
    return "".join([*lines[:6], '{"_id": "d6"\n', *lines[7:]]).encode()


def _cut_gzip(rows):
    whole = gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode())
    return whole[:-12]


@pytest.mark.parametrize(
    ("name", "damaged", "said"),
    [("c.jsonl", _bad_line, r"c\.jsonl, line 7"), ("c.jsonl.gz", _cut_gzip, r"c\.jsonl\.gz")],
)
def test_a_corpus_that_was_damaged_in_the_middle_is_mended_and_gone_on_with(
    tmp_path, name, damaged, said
):
    random = Random(3)
    rows = [
        {"_id": f"d{i}", "text": "".join(random.choices("abcdefghij ", k=100_000))}
        for i in range(8)
    ]
    corpus, out = tmp_path / name, tmp_path / "out"
    corpus.write_bytes(damaged(rows))
    settings = EncodeSettings(corpus=str(corpus), out=str(out), shard_documents=2)
    with pytest.raises(InputError, match=said):
        encode(settings)
    assert shard_paths(out)  # what came before is kept
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    corpus.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    report = encode(replace(settings, resume=True))
    assert 0 < report.encoded < 8
    again = replace(settings, out=str(tmp_path / "again"))
    encode(again)
    assert rows_of(out) == rows_of(tmp_path / "again")
    told = read_shard_manifest(out).corpus_sha256
    assert told == read_shard_manifest(tmp_path / "again").corpus_sha256


def _line_of(chunk):
    from sparse_ir.data.ledger import Chunk

    return Chunk(chunk.number, len(chunk.documents), 0, chunk.texts_cut, chunk.digest)


def test_two_runs_of_one_machine_give_the_same_bytes_and_say_what_they_read(tmp_path, write_jsonl):
    texts = ["Running shoes for wet roads.", "A pear is a green fruit.", "", "Bread needs time."]
    rows = [{"_id": f"d{i}", "title": "t", "text": texts[i % 4] * (i + 1)} for i in range(12)]
    corpus = write_jsonl("c.jsonl", rows)
    manifests = []
    for name in ("a", "b"):
        settings = EncodeSettings(corpus=str(corpus), out=str(tmp_path / name), shard_documents=5)
        assert encode(settings).documents == 12
        manifests.append(read_shard_manifest(tmp_path / name))
    for file in ("vocabulary.json", *manifests[0].shards):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    assert len(manifests[0].shards) == 3
    assert manifests[0].shards == manifests[1].shards  # their checksums
    assert manifests[0].corpus_sha256 == hashlib.sha256(corpus.read_bytes()).hexdigest()
    assert manifests[0].options["precision"] == "fp32"


@pytest.mark.parametrize("resume", [False, True])
def test_replace_gets_past_a_damaged_ledger(write_jsonl, tmp_path, resume):
    corpus, out = write_jsonl("c.jsonl", ROWS), tmp_path / "v"
    settings = EncodeSettings(corpus=str(corpus), out=str(out), model="bm25")
    out.mkdir()
    (out / "ledger.jsonl").write_text("{broken\n")
    with pytest.raises(InputError, match="start the run again with --replace"):
        encode(replace(settings, resume=True))
    assert encode(replace(settings, resume=resume, replace=True)).encoded == 50


def test_resume_and_replace_start_again_where_the_corpus_has_changed(write_jsonl, tmp_path):
    corpus, out = write_jsonl("c.jsonl", ROWS), tmp_path / "v"
    settings = EncodeSettings(corpus=str(corpus), out=str(out), model="bm25", shard_documents=10)
    done = []
    with pytest.raises(ZeroDivisionError):  # in the third shard
        encode(settings, advance=lambda n: done.append(n) or 1 // (sum(done) < 30))
    corpus.write_text(corpus.read_text().replace("number3", "number8"))  # of the same size
    report = encode(replace(settings, resume=True, replace=True))
    assert (report.encoded, report.documents) == (50, 50)


@pytest.mark.parametrize(
    ("changed", "said"),
    [({"precision": "bf16"}, "whose precision was 'fp32'"), ({"model": None}, "whose model was")],
)
def test_resume_of_a_folder_that_was_finished_otherwise_is_refused(
    write_jsonl, tmp_path, changed, said
):
    corpus = write_jsonl("c.jsonl", ROWS)
    settings = EncodeSettings(
        corpus=str(corpus), out=str(tmp_path / "v"), model="bm25", resume=True
    )
    encode(settings)
    assert encode(settings).encoded == 0
    with pytest.raises(ConfigError, match=said):
        encode(replace(settings, **changed))
    corpus.write_text(corpus.read_text().replace("apple", "grape"))
    with pytest.raises(ConfigError, match="whose corpus_sha256 was"):
        encode(settings)


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("name", ["vocabulary.json", "vectors-00000.parquet"])
def test_files_of_no_run_are_removed_only_when_asked(write_jsonl, tmp_path, name, resume):
    out = tmp_path / "v"
    out.mkdir()
    (out / name).write_text("of somebody else")
    settings = EncodeSettings(
        corpus=str(write_jsonl("c.jsonl", ROWS)), out=str(out), model="bm25", resume=resume
    )
    with pytest.raises(ConfigError, match=rf"holds {name}, which .* Use --replace"):
        encode(settings)
    assert (out / name).read_text() == "of somebody else"
    assert encode(replace(settings, replace=True)).documents == 50


def test_a_file_that_only_looks_like_a_shard_stays(write_jsonl, tmp_path):
    corpus = write_jsonl("corpus.jsonl", [{"_id": "d1", "text": "the cat sat"}])
    out = tmp_path / "vectors"
    out.mkdir()
    (out / "vectors-of-mine.parquet").write_bytes(b"mine")
    encode(EncodeSettings(str(corpus), str(out), model="bm25", replace=True))
    assert (out / "vectors-of-mine.parquet").read_bytes() == b"mine"


@pytest.mark.parametrize("stopped", [{"limit": 20}, {"corpus": "other"}])
def test_bm25_of_a_stopped_run_is_not_taken_for_other_documents(write_jsonl, tmp_path, stopped):
    """A recipe says both --resume and --replace: what differs is made anew, its IDF as well."""
    rows = [{"_id": f"d{i}", "text": f"common word{i}"} for i in range(40)]
    corpus = str(write_jsonl("c.jsonl", rows))
    other = str(write_jsonl("o.jsonl", [{"_id": f"x{i}", "text": "strange"} for i in range(20)]))
    if "corpus" in stopped:
        stopped = {"corpus": other}
    whole = EncodeSettings(
        corpus=corpus, out=str(tmp_path / "v"), model="bm25", shard_documents=10, resume=True,
        replace=True,
    )  # fmt: skip

    class StopError(Exception):
        pass

    def stop(n):
        raise StopError

    with pytest.raises(StopError):
        encode(EncodeSettings(**{**vars(whole), **stopped}), advance=stop)
    encode(whole)
    encode(EncodeSettings(**{**vars(whole), "out": str(tmp_path / "fresh")}))
    assert rows_of(tmp_path / "v") == rows_of(tmp_path / "fresh")
    assert len(rows_of(tmp_path / "v")) == 40
