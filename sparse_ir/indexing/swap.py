"""Which build an index's name stands for: a new one, or the one before again."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from sparse_ir.engines.opening import open_engine
from sparse_ir.errors import ConfigError, EngineError

if TYPE_CHECKING:
    from sparse_ir.engines.base import Engine


class SwapReport(NamedTuple):
    """What an index's name stands for.

    Attributes:
        name: The index.
        now: The build it stands for now.
        before: The build it stood for until then; empty for none.
        documents: In the build it stands for now.
        engine: The engine's address.
    """

    name: str
    now: str
    before: str
    documents: int
    engine: str


def swap(index: str, candidate: str, *, engine: str = "embedded") -> SwapReport:
    """Let a name stand for another build, in one step; the build before is kept.

    Args:
        index: The name.
        candidate: A build of that name, as ``index --aside`` prints it.
        engine: As ``open_engine`` takes it.

    Raises:
        ConfigError: the candidate is empty, or is what the name stands for already.
        EngineError: the candidate is a build of another name.
    """
    with closing(open_engine(engine)) as opened:
        return _swap(opened, index, opened.resolve(candidate))


def rollback(index: str, *, engine: str = "embedded") -> SwapReport:
    """Let a name stand for the build that it stood for before the last swap or replacement.

    Rolling back twice leads back to where one was.

    Raises:
        ConfigError: no earlier build is kept, or the name is that of a build.
    """
    name, at, _ = index.partition("@")
    if at:
        raise ConfigError(f"{index!r} is a build. Name the index that is rolled back: {name}.")
    with closing(open_engine(engine)) as opened:
        before = opened.previous(index)
        if not before:
            raise ConfigError(
                f"index {index!r} has no earlier build to go back to. Keep one with: "
                "sparse-ir index --replace --keep-old"
            )
        return _swap(opened, index, before)


def _swap(engine: Engine, index: str, candidate: str) -> SwapReport:
    try:
        before = engine.resolve(index) if engine.exists(index) else ""
    except EngineError:  # it stands for several builds, or for one that is gone: this mends it
        before = ""
    if candidate == before:
        raise ConfigError(f"index {index!r} stands for {candidate!r} already.")
    owner = candidate.partition("@")[0]
    if owner != index:
        raise ConfigError(f"build {candidate!r} is one of index {owner!r}, not of {index!r}.")
    if not engine.settled(candidate):
        raise ConfigError(
            f"build {candidate!r} was never finished. Go on with: sparse-ir index --aside --resume"
        )
    engine.refresh(candidate)
    documents = engine.stats(candidate).documents
    if not documents:
        raise ConfigError(f"build {candidate!r} holds no documents; {index!r} is left as it was.")
    engine.publish(index, candidate, drop_previous=False)
    return SwapReport(index, candidate, before, documents, engine.address)
