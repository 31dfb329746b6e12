"""The indexes of a benchmark: each made when it is first wanted, removed after its last use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparse_ir.errors import ConfigError
from sparse_ir.evaluating.encoded import encode_once
from sparse_ir.evaluating.measure import build, drop_index

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from sparse_ir.evaluating.benchmark_settings import BenchmarkSettings, System
    from sparse_ir.evaluating.measure import Indexed


class Indexes:
    """All indexes of one dataset."""

    def __init__(
        self,
        settings: BenchmarkSettings,
        corpus: str,
        folder: Path,
        *,
        called: str,
        name: str,
        tell: Callable[[str], None],
    ) -> None:
        """Nothing is made yet.

        Args:
            settings: Of the benchmark.
            corpus: The documents.
            folder: Where their vectors are kept.
            called: The dataset, in what is told.
            name: Of an index, with ``{key}`` where systems that share none differ.
            tell: Called with a line before each piece of work.
        """
        self._settings, self._corpus, self._folder = settings, corpus, folder
        self._called, self._name, self._tell = called, name, tell
        self._made: dict[str, tuple[System, Indexed]] = {}

    def of(self, system: System) -> Indexed:
        """The index that a system searches.

        Raises:
            ConfigError: the engine has no such field or plugin.
        """
        key = system.index_key()
        if key not in self._made:
            self._made[key] = (system, self._make(system, self._name.format(key=key)))
        return self._made[key][1]

    def of_words(self, system: System) -> Indexed | None:
        """The index of words that a system searches beside its own; None where it needs none.

        Raises:
            ConfigError: the engine refuses it.
        """
        words = system.words()
        return None if words is None else self.of(words)

    def keep_for(self, systems: Iterable[System]) -> None:
        """Remove what none of these systems searches, unless indexes are to be kept."""
        wanted = {key for system in systems for key in system.index_keys()}
        for key in [key for key in self._made if key not in wanted]:
            system, indexed = self._made.pop(key)
            if not self._settings.keep_indexes:
                drop_index(system, indexed.name)

    def _make(self, system: System, name: str) -> Indexed:
        self._tell(f"{self._called}: encode with {system.model or 'the bundled model'}")
        vectors = encode_once(system, self._corpus, self._folder, devices=self._settings.devices)
        self._tell(f"{self._called}: index into {system.engine}")
        try:
            return build(system, name, self._corpus, vectors)
        except ConfigError:
            drop_index(system, name)
            raise
