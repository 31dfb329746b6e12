"""Every system on every dataset: encoded once, indexed, searched, scored, timed, explained."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from sparse_ir.data.manifest import provenance
from sparse_ir.engines.opening import open_engine
from sparse_ir.errors import ConfigError
from sparse_ir.evaluating.benchmark_indexes import Indexes
from sparse_ir.evaluating.benchmark_settings import dataset_key, key_of, system_key
from sparse_ir.evaluating.diagnosis import Named, differences, telling_documents
from sparse_ir.evaluating.encoded import vectors_folder
from sparse_ir.evaluating.judged import Judged, read_judged
from sparse_ir.evaluating.measure import answered, explained, measure, stored
from sparse_ir.evaluating.measured import Measured, read_measured, write_measured
from sparse_ir.evaluating.results import Difference, Facts, Results
from sparse_ir.models.loading import MODEL, load_encoder

if TYPE_CHECKING:
    from collections.abc import Callable

    from sparse_ir.evaluating.benchmark_settings import (
        BenchmarkDataset,
        BenchmarkSettings,
        System,
    )
    from sparse_ir.types import SparseVector


def benchmark(
    settings: BenchmarkSettings, *, tell: Callable[[str], None] = lambda line: None
) -> Results:
    """Measure systems on datasets; ``write_report`` makes pages of it.

    A corpus is encoded once for all systems that search the same vectors, and indexed once for all
    that search the same index. A stopped benchmark goes on when it is called again: what was
    measured with the same settings stands. A system that its engine cannot index or search for is
    left out, with the reason, and the others are measured.

    Args:
        settings: What is measured and where it is kept.
        tell: Called with a line before each piece of work, and for each system that is left out.

    Raises:
        ConfigError: a dataset or setting is unknown, or no system could be measured.
        InputError: a file cannot be read.
        ModelError: a model cannot be loaded.
    """
    started = datetime.now(timezone.utc)
    facts: list[Facts] = []
    found: list[list[Measured]] = []
    parted: list[Difference] = []
    left_out = list(settings.left_out)
    _require_all(settings)
    for chosen in settings.datasets:
        bench = _Bench(settings, chosen, tell)
        measured = bench.measure_all()
        left_out += bench.left_out
        if not measured:
            raise ConfigError(f"nothing could be measured. {bench.left_out[0]}")
        found.append(measured)
        facts.append(bench.facts(measured[0].documents))
        parted += bench.differences(measured)
    return Results(
        name=settings.name,
        metrics=list(settings.metrics),
        baseline=settings.compared_with,
        datasets=facts,
        outcomes=[m.outcome for measured in found for m in measured],
        differences=parted,
        made=provenance(started=started),
        left_out=left_out,
    )


def _require_all(settings: BenchmarkSettings) -> None:
    """Look for every dataset, query side and engine before the first document is encoded."""
    for chosen in settings.datasets:
        dataset = chosen.open()
        read_judged(dataset.queries, dataset.qrels)
    for engine in dict.fromkeys(system.engine for system in settings.systems):
        open_engine(engine).close()
    sides = {(s.model, s.query_encoder) for s in settings.systems if s.query_encoder != MODEL}
    for model, side in sorted(sides, key=str):
        load_encoder(model, queries=side)


class _Bench:
    """One dataset with all systems.

    Attributes:
        left_out: A line for each system that its engine could not do.
    """

    def __init__(
        self, settings: BenchmarkSettings, chosen: BenchmarkDataset, tell: Callable[[str], None]
    ) -> None:
        self._settings, self._chosen, self._tell = settings, chosen, tell
        self.left_out: list[str] = []
        self._dataset = chosen.open()
        self._judged: Judged = read_judged(self._dataset.queries, self._dataset.qrels)
        self._work = Path(settings.out, "work", chosen.file_name)
        self._folder = self._work / dataset_key(self._dataset)
        # Two benchmarks at a time may share an engine: each has indexes of its own.
        place = key_of(str(Path(settings.out).absolute()), dataset_key(self._dataset))[:6]
        self._indexes = Indexes(
            settings,
            self._dataset.corpus,
            self._folder,
            called=chosen.called,
            name=f"benchmark-{chosen.file_name}-{{key}}-{place}",
            tell=tell,
        )

    def measure_all(self) -> list[Measured]:
        """Measure the systems that are not measured yet; index by index."""
        found = {s.name: read_measured(self._part(s)) for s in self._settings.systems}
        left = [s for s in self._settings.systems if found[s.name] is None]
        while left:
            key = left[0].index_key()
            sharing = [s for s in left if s.index_key() == key]
            left = [s for s in left if s.index_key() != key]
            found.update(self._measure_index(sharing))
            self._indexes.keep_for(left)
        # Under the names of today: they are no part of what was measured.
        measured = ((found[s.name], s) for s in self._settings.systems)
        return [_renamed(m, s.name, self._chosen.called) for m, s in measured if m is not None]

    def facts(self, documents: int) -> Facts:
        """What was searched."""
        qrels = self._judged.qrels
        return Facts(
            name=self._chosen.called,
            documents=documents,
            queries={q.query_id: q.text for q in self._judged.queries},
            min_grade=self._dataset.min_grade,
            relevant={
                q.query_id: sum(g >= self._dataset.min_grade for g in qrels[q.query_id].values())
                for q in self._judged.queries
            },
        )

    def differences(self, measured: list[Measured]) -> list[Difference]:
        """Where each system parts from the baseline; nowhere where that was not measured."""
        metric = self._settings.metrics[0]
        compared_with = self._settings.compared_with
        base = next((m for m in measured if m.outcome.system == compared_with), None)
        if base is None:
            return []
        others = [m for m in measured if m is not base]
        bare = {id(m): Named(m.outcome.system, answered(m, {}, metric)) for m in measured}
        grades = (self._judged.qrels, self._dataset.min_grade)
        wanted = {
            doc_id
            for own in others
            for doc_id in telling_documents(bare[id(own)], bare[id(base)], *grades)
        }
        whole = {
            id(m): Named(m.outcome.system, answered(m, vectors, metric))
            for m, vectors in zip(measured, self._vectors(measured, wanted), strict=True)
        }
        parted = []
        for own in others:
            titles = {**base.titles, **own.titles}
            parted += differences(
                self._chosen.called, whole[id(own)], whole[id(base)], *grades, titles=titles
            )
        return parted

    def _vectors(
        self, measured: list[Measured], doc_ids: set[str]
    ) -> list[dict[str, SparseVector]]:
        """Each system's vectors of some documents; none where they do not explain its scores."""
        systems = {s.name: s for s in self._settings.systems}
        read: dict[tuple[str, str], dict[str, SparseVector]] = {}
        found = []
        for one in measured:
            system = systems[one.outcome.system]
            key = (system.vectors_key(), system.document_pruning)
            if explained(system) and key not in read:
                vectors = stored(system, vectors_folder(system, self._folder))
                read[key] = vectors.gather(doc_ids)
            found.append(read[key] if explained(system) else {})
        return found

    def _measure_index(self, systems: list[System]) -> dict[str, Measured | None]:
        found: dict[str, Measured | None] = {}
        try:
            indexed = self._indexes.of(systems[0])
        except ConfigError as error:  # the engine has no such field, plugin or search
            self._leave_out(systems, error)
            return found
        for system in systems:
            try:
                words = self._indexes.of_words(system)
                self._tell(f"{self._chosen.called}: search as {system.name}")
                measured = measure(
                    system, indexed, self._dataset, self._judged, self._settings, words=words
                )
            except ConfigError as error:
                self._leave_out([system], error)
                continue
            write_measured(self._part(system), measured)
            found[system.name] = measured
        return found

    def _leave_out(self, systems: list[System], reason: ConfigError) -> None:
        for system in systems:
            line = f"not measured: {system.name} on {self._chosen.called}: {reason}"
            self._tell(line)
            self.left_out.append(line)

    def _part(self, system: System) -> Path:
        return self._work / f"{system_key(system, self._settings, self._dataset)}.json"


def _renamed(measured: Measured, system: str, dataset: str) -> Measured:
    """Call a measured system and its dataset otherwise."""
    outcome = replace(measured.outcome, system=system, dataset=dataset)
    return replace(measured, outcome=outcome)
