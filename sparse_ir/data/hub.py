"""Datasets of the Hugging Face Hub, streamed: nothing is downloaded beforehand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sparse_ir.data.parquet import json_object
from sparse_ir.errors import InputError, brief

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sparse_ir.data.rows import Row

_NAME = re.compile(r"(?P<name>[^:@]+)(:(?P<config>[^@]+))?(@(?P<split>.+))?")


class HubName(NamedTuple):
    """owner/name[:config][@split], taken apart."""

    name: str
    config: str | None
    split: str | None


def parse_hub_name(text: str) -> HubName:
    """Take ``owner/name[:config][@split]`` apart.

    >>> parse_hub_name("BeIR/scifact:corpus@corpus")
    HubName(name='BeIR/scifact', config='corpus', split='corpus')

    Raises:
        InputError: it is written otherwise.
    """
    match = _NAME.fullmatch(text)
    if match is None:
        raise InputError("write it as hf:owner/name[:config][@split].", path=f"hf:{text}")
    return HubName(match["name"], match["config"], match["split"])


def hub_rows(text: str, kind: str) -> Iterator[Row]:
    """Stream the rows of a dataset.

    A configuration or split that is not given is the only one, or that called like the kind, as in
    BEIR's datasets on the Hub, or the default one (``default``, ``train``).

    Args:
        text: owner/name[:config][@split]; instead of owner/name, a folder that ``load_dataset``
            reads.
        kind: "corpus" or "queries".

    Raises:
        InputError: the Hub does not answer, knows no such dataset or does not give it, or there are
            several splits to choose from.
    """
    wanted = parse_hub_name(text)
    try:
        stream = _stream(wanted, kind)
        for number, row in enumerate(stream, start=1):
            yield number, json_object(row)
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001  the client's own errors differ from version to version
        raise InputError(f"cannot be read ({brief(error)}).", path=f"hf:{text}") from None


def _stream(wanted: HubName, kind: str) -> Any:
    if not Path(wanted.name).is_dir():
        _ask(wanted.name)
    import datasets

    # Later versions never run code that comes with a dataset, and do not know the setting.
    safe = {"trust_remote_code": False} if int(datasets.__version__.split(".")[0]) < 4 else {}
    configs = datasets.get_dataset_config_names(wanted.name, **safe)
    config = wanted.config or _choose(configs, (kind, "default"), "configuration", wanted)
    loaded = datasets.load_dataset(wanted.name, config, streaming=True, **safe)
    split = wanted.split or _choose(list(loaded), (kind, "train"), "split", wanted)
    if split not in loaded:
        raise InputError(f"has no split {split!r}. Use {_or(loaded)}.", path=f"hf:{wanted.name}")
    return loaded[split]


def _ask(name: str) -> None:
    """Ask the Hub once whether it has the dataset: ``datasets`` would retry for half a minute."""
    import huggingface_hub
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        huggingface_hub.HfApi().dataset_info(name, timeout=20)
    except RepositoryNotFoundError:
        raise InputError(
            "there is no such file or folder, and no such dataset on the Hub (or it is private).",
            path=name,
        ) from None
    except Exception as error:  # noqa: BLE001  as above
        raise InputError(
            f"there is no such file or folder, and the Hub cannot be asked ({brief(error)}).",
            path=name,
        ) from None


def _choose(names: Sequence[str], preferred: Sequence[str], what: str, wanted: HubName) -> str:
    if len(names) == 1:
        return names[0]
    for name in preferred:
        if name in names:
            return name
    sign = ":" if what == "configuration" else "@"
    raise InputError(
        f"has several {what}s. Give one: hf:{wanted.name}{sign}{names[0]} (or {_or(names[1:])}).",
        path=f"hf:{wanted.name}",
    )


def _or(names: Sequence[str]) -> str:
    return ", ".join(names)
