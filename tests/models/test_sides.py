from __future__ import annotations

import json

import numpy as np
import pytest
import transformers

from sparse_ir.errors import ConfigError, ModelError
from sparse_ir.models.corpus_idf import MadeFor, save_query_side
from sparse_ir.models.layouts import SpladeLayout
from sparse_ir.models.loading import load_encoder
from sparse_ir.models.sides import Sides, TableLayout, read_sides, vocabulary_size
from sparse_ir.models.splade import SpladeEncoder

TRANSFORMER = "sentence_transformers.base.modules.transformer.Transformer"
POOLING = "sentence_transformers.sparse_encoder.modules.splade_pooling.SpladePooling"
STATIC = "sentence_transformers.sparse_encoder.models.SparseStaticEmbedding"
TABLE = {"the": 0.25, "cat": 2.5, "mat": 1.5}
TEXTS = ["the cat sat.", "", "zebra 日本", "Mat, THE mat"]


@pytest.fixture
def write(tmp_path):
    def write(files):
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(content))
        return tmp_path

    return write


def routed(types, structure, **parameters):
    return {
        "modules.json": [{"type": "sentence_transformers.models.Router", "path": ""}],
        "router_config.json": {"types": types, "structure": structure, "parameters": parameters},
        "d/config.json": {},
        "d/sentence_bert_config.json": {"max_seq_length": 256},
        "p/config.json": {"pooling_strategy": "sum"},
        "config_sentence_transformers.json": {"prompts": {"query": "q: ", "document": "d: "}},
    }


TYPES = {"d": TRANSFORMER, "p": POOLING, "s": STATIC}


def test_a_router_has_a_side_of_documents_and_one_of_queries(write):
    folder = write(routed(TYPES, {"query": ["s"], "document": ["d", "p"]}))
    table = TableLayout(folder / "s" / "model.safetensors", folder / "s", prompt="q: ")
    documents = SpladeLayout(
        folder / "d", "sum", "log1p", 256, document_prompt="d: ", query_prompt="q: "
    )
    assert read_sides(folder) == Sides(documents, table, table)


def test_a_static_side_may_name_a_file_of_idf(write):
    files = routed(TYPES, {"query": ["s"], "document": ["d", "p"]})
    folder = write({**files, "s/config.json": {"path": "weights.json"}, "idf.json": TABLE})
    assert read_sides(folder).table.weights == folder / "idf.json"
    (folder / "s" / "weights.json").write_text("{}")
    assert read_sides(folder).table.weights == folder / "s" / "weights.json"


@pytest.mark.parametrize("key", ["('query', 'text')", "('query', None)"])
def test_a_router_may_map_tasks_to_routes(write, key):
    files = routed(
        TYPES,
        {"cheap": ["s"], "dear": ["d", "p"]},
        route_mappings={key: "cheap", "('document', None)": "dear", "(None, 'text')": "dear"},
    )
    sides = read_sides(write(files))
    assert isinstance(sides.queries, TableLayout)
    assert sides.documents.pooling == "sum"


def test_routes_that_share_their_modules_are_one_side(write):
    folder = write(routed(TYPES, {"query": ["d", "p"], "document": ["d", "p"]}))
    sides = read_sides(folder)
    assert sides.queries == sides.documents
    assert sides.table is None


@pytest.mark.parametrize(
    "structure",
    [
        {"document": ["d", "p"]},
        {"query": ["s"]},
        {"query": ["x"], "document": ["d", "p"]},
        {},
    ],
)
def test_a_router_without_both_routes_is_refused(write, structure):
    with pytest.raises(ModelError, match="damaged, or has no routes"):
        read_sides(write(routed(TYPES, structure)))


@pytest.mark.parametrize("structure", [["s", "p"], ["d"], ["p", "d"]])
def test_a_route_of_other_modules_is_refused(write, structure):
    with pytest.raises(ModelError, match=r"modules\.json lists"):
        read_sides(write(routed(TYPES, {"query": structure, "document": ["d", "p"]})))


def test_a_table_of_a_router_keeps_the_query_terms_set_beside_the_document_model(write):
    files = routed(TYPES, {"query": ["s"], "document": ["d", "p"]})
    assert read_sides(write(files)).table.terms == 0
    assert read_sides(write({**files, "d/sparse_ir.json": {"query_terms": 7}})).table.terms == 7


def test_a_router_with_something_behind_it_is_refused(write):
    files = routed(TYPES, {"query": ["s"], "document": ["d", "p"]})
    files["modules.json"].append({"type": "x.Normalize", "path": "1"})
    with pytest.raises(ModelError, match="Router must be alone"):
        read_sides(write(files))


def test_a_plain_folder_has_one_side_and_the_tables_beside_it(write):
    folder = write({"config.json": {"vocab_size": 70}})
    plain = SpladeLayout(folder)
    assert read_sides(folder) == Sides(plain, plain, None)
    assert vocabulary_size(folder) == 70
    write({"query_table.json": TABLE})
    beside = TableLayout(folder / "query_table.json", folder)
    assert read_sides(folder) == Sides(plain, plain, beside)
    write({"idf.json": TABLE})
    documents = SpladeLayout(folder, drop_columns=("special",))
    queries = TableLayout(folder / "idf.json", folder)
    assert read_sides(folder) == Sides(documents, queries, beside)
    write({"sparse_ir.json": {"query_terms": 2}})
    assert read_sides(folder).queries == TableLayout(folder / "idf.json", folder, terms=2)


def test_a_table_that_is_saved_alone_keeps_the_models_bound(tiny, tmp_path):
    layout = SpladeLayout(tiny, query_terms=2)
    table = {"the": 1.0, "cat": 2.0, "mat": 1.5}
    save_query_side(tmp_path / "side", table, layout, MadeFor("f" * 64, "tiny", "corpus", 3))
    assert read_sides(tmp_path / "side").table.terms == 2
    encoder = load_encoder(tmp_path / "side")
    weights = encoder.encode_queries(["the cat mat"]).weights
    assert sorted(weights.data.tolist()) == [1.5, 2.0]


@pytest.fixture
def copy(tiny, tmp_path):
    """A copy of the tiny BERT with more files in it."""

    def copy(**files):
        for path in tiny.iterdir():
            (tmp_path / path.name).write_bytes(path.read_bytes())
        for name, content in files.items():
            (tmp_path / f"{name}.json").write_text(json.dumps(content))
        return tmp_path

    return copy


def test_an_opensearch_folder_weighs_queries_by_its_idf(copy):
    folder = copy(idf=TABLE)
    encoder = load_encoder(folder, device="cpu")
    queries = encoder.encode_queries(TEXTS).weights.toarray()
    assert dict(zip(encoder.vocabulary, queries[3], strict=True))["mat"] == 1.5
    assert queries[1].sum() == 0
    documents = encoder.encode_documents(TEXTS).weights.toarray()
    plain = SpladeEncoder(folder, device="cpu").encode_documents(TEXTS).weights.toarray()
    np.testing.assert_array_equal(documents, plain)
    assert encoder.fingerprint == SpladeEncoder(folder, device="cpu").fingerprint
    assert load_encoder(folder, queries="inference-free").query_fingerprint == (
        encoder.query_fingerprint
    )


def test_sentence_transformers_own_router_gives_the_same_vectors(tiny, tmp_path):
    sentence_transformers = pytest.importorskip("sentence_transformers")
    base = pytest.importorskip("sentence_transformers.base.modules")
    sparse = pytest.importorskip("sentence_transformers.sparse_encoder.modules")
    (tmp_path / "idf.json").write_text(json.dumps(TABLE))
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny)
    static = sparse.SparseStaticEmbedding.from_json(str(tmp_path / "idf.json"), tokenizer)
    lm = base.Transformer(str(tiny), transformer_task="fill-mask")
    router = base.Router.for_query_document([static], [lm, sparse.SpladePooling()])
    theirs = sentence_transformers.SparseEncoder(modules=[router], device="cpu")
    theirs.save(str(tmp_path / "router"))
    ours = load_encoder(tmp_path / "router", device="cpu")
    for text in TEXTS:
        for found, expected, tolerance in (
            (ours.encode_queries([text]), theirs.encode_query(text), 1e-6),
            (ours.encode_documents([text]), theirs.encode_document(text), 1e-5),
        ):
            np.testing.assert_allclose(
                found.weights.toarray()[0], expected.to_dense().numpy(), atol=tolerance
            )


def test_a_side_that_is_not_there_is_one_clear_error(tiny):
    with pytest.raises(ModelError, match="has no inference-free query side") as caught:
        load_encoder(tiny, queries="inference-free")
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match="Use model or inference-free"):
        load_encoder(tiny, queries="free")


def test_bm25_has_no_inference_free_side(tmp_path):
    (tmp_path / "bm25.json").write_text("{}")
    with pytest.raises(ModelError, match="has no inference-free query side"):
        load_encoder(tmp_path, queries="inference-free")


def test_a_damaged_table_is_found_when_the_index_is_made(copy):
    encoder = load_encoder(copy(query_table={"dog": 1.0}), device="cpu")
    with pytest.raises(ModelError, match="'dog', which is no token"):
        _ = encoder.query_fingerprints


def test_sides_of_different_vocabularies_are_refused(copy):
    folder = copy(idf=TABLE)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "vocab_size": 71}))
    encoder = load_encoder(folder, device="cpu")
    encoder.encode_queries(["the cat"])
    with pytest.raises(ModelError):
        encoder.encode_documents(["the cat"])


def test_max_length_cuts_both_sides(copy):
    encoder = load_encoder(copy(idf=TABLE), device="cpu", max_length=4)
    assert encoder.documents.max_length == encoder.queries.max_length == 4
