from __future__ import annotations

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import huggingface_hub
import pytest
import transformers
from huggingface_hub.utils import filter_repo_objects

from sparse_ir.errors import ConfigError, ModelError, StorageError
from sparse_ir.models.loading import find_model, load_encoder
from sparse_ir.models.pushing import PushError, model_files, push_model
from sparse_ir.models.saving import SaveLayout, save_model

TOKEN = "hf_" + "x" * 34


class Hub(ThreadingHTTPServer):
    """As much of the hub as creating a repository and committing files takes."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.refuse = None
        self.wrong_card = None
        self.tokens = set()
        self.created = []
        self.files = {}

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *arguments):
        pass

    def answer(self, status, content):
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        content = {"id": "someone/tiny", "sha": "0" * 40, "siblings": []}
        self.answer(self.server.refuse or 200, content)

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.tokens.add(self.headers.get("Authorization"))
        if self.server.refuse:
            self.answer(self.server.refuse, {"error": "no"})
        elif self.path == "/api/validate-yaml" and self.server.wrong_card:
            self.answer(400, {"error": "no", "errors": [{"message": self.server.wrong_card}]})
        elif self.path == "/api/repos/create":
            self.server.created.append(json.loads(body))
            self.answer(200, {"url": f"{self.server.url}/someone/tiny"})
        elif "/preupload/" in self.path:
            wanted = [f["path"] for f in json.loads(body)["files"]]
            self.answer(
                200,
                {
                    "files": [
                        {"path": p, "uploadMode": "regular", "shouldIgnore": False} for p in wanted
                    ]
                },
            )
        elif "/commit/" in self.path:
            for line in body.splitlines():
                entry = json.loads(line)
                if entry["key"] == "file":
                    content = base64.b64decode(entry["value"]["content"])
                    self.server.files[entry["value"]["path"]] = content
            url = f"{self.server.url}/someone/tiny/commit/{'0' * 40}"
            self.answer(200, {"commitUrl": url, "commitOid": "0" * 40, "success": True})
        else:
            self.answer(404, {"error": self.path})


@pytest.fixture
def hub():
    server = Hub()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def folder(tiny, tmp_path_factory):
    path = save_model(
        tmp_path_factory.mktemp("push") / "model",
        model=transformers.AutoModelForMaskedLM.from_pretrained(tiny),
        tokenizer=transformers.AutoTokenizer.from_pretrained(tiny),
        layout=SaveLayout(max_length=32),
        query_side={"cat": 2.0},
    )
    (path / "LICENSE").write_text("Apache-2.0")
    (path / ".env").write_text("SECRET=1")
    (path / "optimizer.pt").write_bytes(b"moments")
    (path / "checkpoint-100").mkdir()
    (path / "checkpoint-100" / "config.json").write_text("{}")
    return path


@pytest.fixture
def token(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)


@pytest.fixture
def no_token(monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.delenv("HUGGING_FACE_HUB_TOKEN", raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))


def test_only_what_makes_the_model_is_published(folder):
    names = set(model_files(folder))
    assert {"modules.json", "router_config.json", "LICENSE"} <= names
    assert {"document_0_MLMTransformer/model.safetensors"} <= names
    assert not {".env", "optimizer.pt", "checkpoint-100/config.json"} & names


def test_a_graph_goes_with_its_weights_and_other_peoples_graphs_stay(tmp_path):
    for name in ("model.onnx", "model.onnx.data", "tokenizer.json", "onnx/model.onnx"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    (tmp_path / "onnx" / "config.json").write_text("{}")
    assert list(model_files(tmp_path)) == ["tokenizer.json"]
    (tmp_path / "sparse_ir_onnx.json").write_text("{}")
    graph = ["model.onnx", "model.onnx.data", "sparse_ir_onnx.json", "tokenizer.json"]
    assert list(model_files(tmp_path)) == graph


@pytest.mark.parametrize(("ours", "graphs"), [(True, 2), (False, 0)])
def test_a_graph_is_fetched_where_it_is_one_of_ours(tmp_path, monkeypatch, ours, graphs):
    names = ["config.json", "model.onnx", "model.onnx.data", "onnx/model.onnx", "model.safetensors"]
    names += ["sparse_ir_onnx.json"] if ours else []

    def snapshot(name, *, allow_patterns, ignore_patterns):
        for file in filter_repo_objects(
            names, allow_patterns=allow_patterns, ignore_patterns=ignore_patterns
        ):
            (tmp_path / file).write_text("{}")
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    assert find_model("someone/model") == ("someone/model", tmp_path)
    assert len(list(tmp_path.rglob("model.onnx*"))) == graphs


def test_a_model_is_copied_to_a_folder(folder, tmp_path):
    for target in (f"file:{tmp_path / 'copy'}", str(tmp_path / "copy")):
        found = push_model(folder, target, replace=True)
        assert found.done
        assert found.url == (tmp_path / "copy").as_uri()
        assert model_files(tmp_path / "copy") == found.files
        copy, original = load_encoder(tmp_path / "copy"), load_encoder(folder)
        assert copy.fingerprint == original.fingerprint
        assert copy.query_fingerprint == original.query_fingerprint
    assert [p.name for p in tmp_path.iterdir()] == ["copy"]


def test_a_folder_that_holds_something_else_is_left_alone(folder, tmp_path):
    (tmp_path / "thesis.tex").write_text("all of it")
    with pytest.raises(ConfigError, match="holds something that is no model"):
        push_model(folder, f"file:{tmp_path}")
    with pytest.raises(StorageError, match="cannot be written"):
        push_model(folder, f"file:{tmp_path / 'thesis.tex' / 'x'}")
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("config", ["{}", '{"port": 80}', "no JSON", '["bert"]'])
def test_a_folder_that_merely_has_a_config_is_no_model(folder, tmp_path, config):
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(ConfigError, match="holds something that is no model"):
        push_model(folder, f"file:{tmp_path}", replace=True)
    assert (tmp_path / "config.json").read_text() == config


@pytest.mark.parametrize("there", ["modules.json", "model.safetensors", "config.json"])
def test_a_model_in_the_target_is_replaced_where_that_is_said(folder, tmp_path, sparse_ir, there):
    target = tmp_path / "copy"
    target.mkdir()
    (target / "config.json").write_text("{}")
    (target / there).write_text('{"model_type": "bert"}')
    refused = sparse_ir("push", folder, f"file:{target}")
    assert refused.exit_code == 2
    assert "holds a finished model" in refused.err
    assert "--replace" in refused.err
    assert sparse_ir("push", folder, f"file:{target}", "--replace").exit_code == 0
    assert (target / "router_config.json").is_file()


def test_a_model_is_not_pushed_over_into_or_around_itself(folder, monkeypatch):
    before = sorted(folder.rglob("*"))
    monkeypatch.chdir(folder)
    for target in (".", "./copy", "..", f"file:{folder}", f"{folder}/../model"):
        with pytest.raises(ConfigError, match="are the same or one inside the other"):
            push_model(folder, target, replace=True)
    assert sorted(folder.rglob("*")) == before


def test_a_dry_run_sends_and_writes_nothing(folder, tmp_path, no_token):
    found = push_model(folder, "someone/tiny", dry_run=True)
    assert (found.done, found.target) == (False, "someone/tiny")
    assert found.files == model_files(folder)
    assert not push_model(folder, f"file:{tmp_path / 'copy'}", dry_run=True).done
    assert list(tmp_path.iterdir()) == []


def test_the_hub_gets_every_file_as_it_is(folder, hub, token):
    found = push_model(folder, "someone/tiny", private=True, endpoint=hub.url)
    assert (found.done, found.url) == (True, f"{hub.url}/someone/tiny")
    assert hub.tokens == {f"Bearer {TOKEN}"}
    assert hub.created[0]["name"] == "tiny"
    assert hub.created[0].get("private") is True or hub.created[0].get("visibility") == "private"
    assert hub.files == {name: (folder / name).read_bytes() for name in found.files}


@pytest.mark.parametrize(
    ("status", "message"),
    [(401, "does not know the token"), (403, "does not let this token write"), (400, "status 400")],
)
def test_what_the_hub_refuses_is_one_clear_line_without_the_token(
    folder, hub, token, status, message
):
    hub.refuse = status
    with pytest.raises(PushError, match=message) as caught:
        push_model(folder, "someone/tiny", endpoint=hub.url)
    assert "\n" not in str(caught.value)
    assert TOKEN not in str(caught.value)


def test_a_card_that_the_hub_rejects_is_told_in_its_own_words(folder, hub, token, tmp_path):
    (folder / "README.md").write_text("---\nbase_model: /home/me/bert\n---\n")
    hub.wrong_card = '"base_model" is not a valid model id'
    with pytest.raises(PushError, match='"base_model" is not a valid model id') as caught:
        push_model(folder, "someone/tiny", endpoint=hub.url)
    (folder / "README.md").unlink()
    assert "could not be reached" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_network_is_one_clear_line(folder, hub, token):
    hub.server_close()
    with pytest.raises(PushError, match="could not be reached") as caught:
        push_model(folder, "someone/tiny", endpoint="http://127.0.0.1:9")
    assert "\n" not in str(caught.value)


def test_without_a_token_it_says_how_to_get_one(folder, no_token):
    with pytest.raises(ConfigError, match="Set HF_TOKEN, or log in"):
        push_model(folder, "someone/tiny")


@pytest.mark.parametrize("endpoint", ["http://example.org", "example.org", "ftp://example.org", ""])
def test_a_token_never_goes_out_in_the_clear(folder, token, endpoint):
    with pytest.raises(ConfigError, match="Give an https:// address"):
        push_model(folder, "someone/tiny", endpoint=endpoint)


def test_what_is_no_model_is_not_published(tmp_path):
    with pytest.raises(ModelError, match="no such model folder"):
        push_model(tmp_path / "none", "someone/tiny")
    with pytest.raises(ModelError, match=r"holds no config\.json"):
        push_model(tmp_path, "someone/tiny")


def test_a_target_that_is_no_name_is_refused(folder):
    for target in ("a/b/c", "a b", "https://huggingface.co/a/b", ""):
        with pytest.raises(ConfigError, match="is no repository"):
            push_model(folder, target)


def test_the_command_lists_and_copies(sparse_ir, folder, tmp_path):
    done = sparse_ir("push", folder, f"file:{tmp_path / 'copy'}")
    assert done.exit_code == 0
    assert "router_config.json" in done.out
    assert "Published at file://" in done.out.replace("\n", "")
    dry = sparse_ir("push", folder, "someone/tiny", "--dry-run", "--json")
    assert json.loads(dry.out)["done"] is False
    assert sparse_ir("push", tmp_path / "none", "someone/tiny").exit_code == 4
