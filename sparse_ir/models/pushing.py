"""Publish a model folder: to the Hugging Face hub, or to another folder."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from json import JSONDecodeError
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from sparse_ir.errors import ConfigError, ModelError, SparseIRError
from sparse_ir.models.loading import load_encoder, no_bars
from sparse_ir.models.onnx_folder import GRAPH, is_onnx
from sparse_ir.models.saved_files import copy_tree, made_aside, require_free

_REPO_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?")
_FILES = ("*.json", "*.txt", "*.model", "*.safetensors", "*.md", "LICENSE*", "NOTICE*")
_OF_A_GRAPH = f"{GRAPH}*"  # also the weights of a large one, in a file beside it
_NOT = ("checkpoint-*", ".*", "__pycache__", "runs", "logs", "onnx", "openvino")  # parts of a path
_HERE = ("localhost", "127.0.0.1", "::1")
_REFUSED = {
    401: "does not know the token. Set HF_TOKEN, or log in with: hf auth login",
    403: "does not let this token write there. Use a token with write access to it",
    404: "knows no such owner or repository. Check the name",
    429: "has had too many requests. Wait, and run the command again",
}


class PushError(SparseIRError):
    """The hub refused a model, or could not be reached."""


class Pushed(NamedTuple):
    """What was published, or would be.

    Attributes:
        target: The folder or repository.
        url: Where to look at it.
        files: Name -> bytes.
        done: False for a dry run.
    """

    target: str
    url: str
    files: dict[str, int]
    done: bool


def push_model(
    folder: str | Path,
    target: str,
    *,
    private: bool = False,
    endpoint: str | None = None,
    message: str = "Add model",
    dry_run: bool = False,
    replace: bool = False,
) -> Pushed:
    """Publish a model folder, after a look whether it weighs texts.

    Only what a model is loaded from goes, with its card and licence: no checkpoints, no optimizer
    states, no hidden files.

    Args:
        folder: The model.
        target: ``owner/name`` on the hub, made if it is not there; or a folder, as ``file:PATH``
            or a path that begins with ``/``, ``./``, ``../`` or ``~``.
        private: A repository that is made here is private.
        endpoint: Another hub than $HF_ENDPOINT or https://huggingface.co.
        message: Of the commit.
        dry_run: Only say what would be sent.
        replace: A model that lies in the target folder may be replaced.

    Raises:
        ModelError: the folder holds no sparse encoder.
        ConfigError: the target or the endpoint is wrong, or there is no token; or the target
            folder holds something, or is the model's own.
        PushError: the hub refused, or could not be reached.
        StorageError: the folder cannot be written.
    """
    source = Path(folder).expanduser()
    local = _local(target)
    if local is None and not _REPO_ID.fullmatch(target):
        raise ConfigError(
            f"{target!r} is no repository. Write owner/name, or file:PATH for a folder."
        )
    if local is not None:
        _require_apart(source, local)
        require_free(local, replace=replace)
    _require_loadable(source)
    files = model_files(source)
    if local is not None:
        if not dry_run:
            with made_aside(local, replace=replace) as made:
                copy_tree(source, list(files), made)
        return Pushed(str(local), local.absolute().as_uri(), files, not dry_run)
    return _to_hub(source, target, files, private, endpoint, message, dry_run=dry_run)


def model_files(folder: Path) -> dict[str, int]:
    """The files of a model folder that are published: name -> bytes, in order of the names."""
    found = {
        path.relative_to(folder).as_posix(): path.stat().st_size
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    whole = any(name.endswith(".safetensors") for name in found)
    patterns = _FILES if whole else (*_FILES, "pytorch_model*.bin")
    if is_onnx(folder):
        patterns = (*_FILES, _OF_A_GRAPH)
    return {name: size for name, size in found.items() if _published(name, patterns)}


def _published(name: str, patterns: tuple[str, ...]) -> bool:
    parts = name.split("/")
    if any(fnmatch(part, pattern) for part in parts for pattern in _NOT):
        return False
    return any(fnmatch(parts[-1], pattern) for pattern in patterns)


def _local(target: str) -> Path | None:
    if target.startswith("file:"):
        path = target.removeprefix("file:")
        return Path(path.removeprefix("//") or ".").expanduser()
    if target in (".", "..", "~") or target.startswith(("/", "./", "../", "~/")):
        return Path(target).expanduser()
    return None


def _require_apart(source: Path, target: Path) -> None:
    """Refuse to write a model over itself, into itself, or over what holds it."""
    one, other = source.resolve(), target.resolve()
    if one == other or one in other.parents or other in one.parents:
        raise ConfigError(
            f"{target} and the model's own folder, {source}, are the same or one inside the other. "
            "Name another folder."
        )


def _require_loadable(folder: Path) -> None:
    if not folder.is_dir():
        raise ModelError(f"{folder}: there is no such model folder.")
    encoder = load_encoder(folder, device="cpu")
    encoder.encode_documents(["is this model whole"])
    encoder.encode_queries(["is this model whole"])


def _to_hub(
    source: Path,
    target: str,
    files: dict[str, int],
    private: bool,
    endpoint: str | None,
    message: str,
    *,
    dry_run: bool,
) -> Pushed:
    from huggingface_hub import HfApi, get_token

    if endpoint is not None:
        _require_safe(endpoint)
    api = HfApi(endpoint=endpoint)
    url = f"{api.endpoint}/{target}"
    if dry_run:
        return Pushed(target, url, files, done=False)
    if get_token() is None:
        raise ConfigError(
            "there is no Hugging Face token. Set HF_TOKEN, or log in with: hf auth login"
        )
    try:
        with no_bars():
            made = api.create_repo(target, private=private, exist_ok=True)
            api.upload_folder(
                repo_id=made.repo_id,
                folder_path=source,
                allow_patterns=list(files),
                commit_message=message,
            )
    except Exception as error:  # of the hub's client and of whatever HTTP client it uses
        raise _failed(api.endpoint, target, error) from error
    return Pushed(made.repo_id, f"{api.endpoint}/{made.repo_id}", files, done=True)


def _require_safe(endpoint: str) -> None:
    """Send no token in the clear to another machine."""
    parts = urlsplit(endpoint)
    safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _HERE)
    if not safe or not parts.hostname:
        raise ConfigError(f"endpoint is {endpoint!r}. Give an https:// address.")


def _failed(endpoint: str, target: str, error: Exception) -> PushError:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status is None and isinstance(error, ValueError) and not isinstance(error, JSONDecodeError):
        return PushError(f"{target} was refused: {' '.join(str(error).split())}")
    if status is None:
        return PushError(
            f"{endpoint} could not be reached ({type(error).__name__}); {target} may be "
            "incomplete. Run the command again with a network."
        )
    what = _REFUSED.get(status, f"answered with status {status}. Run the command again later")
    return PushError(f"{target}: {endpoint} {what}.")
