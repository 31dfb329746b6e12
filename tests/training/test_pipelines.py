"""Every bundled recipe, from its first stage to its last, on twelve words and with a tiny model."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from pathlib import Path

import pytest
import tiny_run

from sparse_ir.models.loading import load_encoder
from sparse_ir.recipe import find_recipe, read_recipe, run_recipe
from sparse_ir.resources import resource

BUNDLED = sorted(path.stem for path in resource("pipelines").glob("*.yaml"))
OF_PAPERS = {
    "splade-v2-max": "2109.10086",
    "distilsplade": "2109.10086",
    "splade-pp": "2205.04733",
    "splade-v3": "2403.06789",
    "splade-doc": "2505.01452",
    "unicoil": "2106.14807",
    "adapt": "2112.07577",
}
TINY = (
    "train.model.query_tokens=16",
    "train.model.document_tokens=16",
    "train.optimizer.steps=3",
    "train.optimizer.warm_up_steps=0",
    "train.batch.queries=4",
    "train.precision=fp32",
    "train.device=cpu",
    "train.save_every=3",
)
TARGET = "train.sparsity.target_terms={query: 4, document: 8}"  # of 65 terms in all


@contextmanager
def silent(what, *, total=None):
    yield lambda n: None


@pytest.fixture(scope="module")
def cross_encoder(tmp_path_factory, backbone):
    """A tiny classifier with one logit over the same tokens."""
    import transformers

    folder = tmp_path_factory.mktemp("models") / "cross"
    config = transformers.AutoConfig.from_pretrained(backbone, num_labels=1)
    transformers.set_seed(0)
    transformers.BertForSequenceClassification(config).save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(backbone).save_pretrained(folder)
    return folder


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working folder with what the recipes name: triplets.tsv, corpus.jsonl, collection."""
    collection = tiny_run.write_collection(tmp_path / "collection")
    lines = (collection / "corpus.jsonl").read_text(encoding="utf-8").splitlines()
    corpus = [json.loads(line) for line in lines]
    lines = [
        f"{word}\t{corpus[i]['text']}\t{corpus[(i + 5) % len(corpus)]['text']}\n"
        for i, word in enumerate(tiny_run.WORDS)
    ]
    (tmp_path / "triplets.tsv").write_text("".join(lines), encoding="utf-8")
    (tmp_path / "corpus.jsonl").write_text((collection / "corpus.jsonl").read_text())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def go(name, *assignments):
    recipe = read_recipe(find_recipe(Path(name)), assignments)
    return {o.stage: o for o in run_recipe(recipe, progress=silent)}


def cross_encoders(folder, count, stages=("distill",)):
    return [
        f"{stage}.teachers.{i}.{name}={value}"
        for stage in stages
        for i in range(count)
        for name, value in (("model", folder), ("precision", "fp32"), ("device", "cpu"))
    ]


@pytest.mark.parametrize("name", BUNDLED)
def test_a_bundled_recipe_says_what_it_is_and_can_be_read(name):
    path = find_recipe(Path(name))
    assert path.read_text(encoding="utf-8").startswith("#")
    recipe = read_recipe(path)
    assert recipe.name == name
    for step in recipe.steps:
        assert isinstance(step.settings, step.stage.settings)


@pytest.mark.parametrize(("name", "paper"), OF_PAPERS.items())
def test_a_recipe_of_a_paper_names_it(name, paper):
    assert re.search(rf"arXiv {paper}", find_recipe(Path(name)).read_text(encoding="utf-8"))


def test_splade_v2_max_trains(here, backbone):
    done = go("splade-v2-max", *TINY, TARGET, f"train.model.backbone={backbone}")
    assert done["1-train"].result["start"]["mrr@10"] > 0
    assert load_encoder(here / "splade-v2-max").encode_queries(["cat"]).weights.nnz > 0
    again = go("splade-v2-max", *TINY, TARGET, f"train.model.backbone={backbone}")
    assert again["1-train"].skipped


def test_unicoil_trains(here, backbone):
    done = go("unicoil", *TINY, f"train.model.backbone={backbone}")
    assert done["1-train"].result["start"]["ndcg@10"] > 0
    encoder = load_encoder(here / "unicoil")
    columns = encoder.encode_queries(["the cat"]).weights.indices
    assert sorted(encoder.vocabulary[c] for c in columns) == ["cat", "the"]


def test_distilsplade_learns_from_a_cross_encoder(here, backbone, cross_encoder):
    teachers = cross_encoders(cross_encoder, 1)
    done = go("distilsplade", *TINY, TARGET, f"train.model.backbone={backbone}", *teachers)
    assert done["1-distill"].result["pairs"] == 24
    assert (here / "distilsplade" / "config.json").is_file()


def test_splade_pp_mines_with_its_first_model(here, backbone, cross_encoder):
    assignments = [
        *TINY,
        TARGET,
        f"train.model.backbone={backbone}",
        "index.precision=fp32",
        "index.devices=cpu",
        "mine.negatives=4",
        *cross_encoders(cross_encoder, 1),
    ]
    done = go("splade-pp", *assignments)
    assert done["3-mine"].result["queries"] == 12
    assert done["4-distill"].result["pairs"] > 12
    assert (here / "splade-pp" / "config.json").is_file()
    again = go("splade-pp", *assignments, "first.seed=2")
    assert not any(outcome.skipped for outcome in again.values())  # all that hangs on the first


def test_splade_v3_learns_from_several_teachers(here, backbone, cross_encoder):
    done = go(
        "splade-v3",
        *TINY,
        f"train.model.backbone={backbone}",
        f"index.model={backbone}",
        "index.precision=fp32",
        "index.devices=cpu",
        "mine.negatives=8",
        *cross_encoders(cross_encoder, 3),
    )
    assert {"near", "far", "score near", "score far"} < done.keys()
    assert (here / "splade-v3" / "config.json").is_file()


def test_splade_doc_makes_two_tables(here, backbone, cross_encoder):
    teachers = cross_encoders(cross_encoder, 1)
    go("splade-doc", *TINY, TARGET, f"train.model.backbone={backbone}", *teachers)
    idf, learned = (
        load_encoder(here / name).encode_queries(["cat"]).weights.toarray()
        for name in ("splade-doc-idf", "splade-doc-learned")
    )
    assert (idf > 0).sum() == (learned > 0).sum() == 1
    assert idf.max() != learned.max()
