"""What is done to: a command, the way back after a stop, and what there must be in the end."""

from __future__ import annotations

import csv
import json
import math
import shutil
from typing import TYPE_CHECKING, Any, NamedTuple

from campaign.process import Process
from campaign.world import CHUNK, SPARSE_IR

if TYPE_CHECKING:
    from pathlib import Path

    from campaign.process import Ended
    from campaign.world import World


class Place(NamedTuple):
    """The folder of one run.

    Attributes:
        home: Indexes, ledgers and caches (``$SPARSE_IR_HOME``).
        engine: The address of the engine.
    """

    world: World
    folder: Path
    engine: str = "embedded"

    @property
    def home(self) -> Path:
        """Where indexes, ledgers and caches lie."""
        return self.folder / "home"

    @property
    def out(self) -> Path:
        """What the job writes."""
        return self.folder / "out"

    def run(self, *arguments: object, **options: Any) -> Process:
        """Start a command here."""
        return Process([*SPARSE_IR, *map(str, arguments)], self.home, **options)

    def done(self, *arguments: object) -> Ended:
        """Run a command here to its end."""
        return self.run(*arguments).end()


class Job:
    """One kind of run."""

    name = ""
    workers = False  # whether it starts processes that can be killed alone
    writes = "out"  # the folder of the place that it needs

    def prepare(self, place: Place) -> None:
        """What must be there before it starts."""

    def command(self, place: Place) -> list[object]:
        """Its arguments."""
        raise NotImplementedError

    def ways_back(self, place: Place) -> list[list[list[object]]]:
        """The commands that go on with a stopped run; where they are refused, the next ones."""
        command = self.command(place)
        return [[[*command, "--resume"]], [[*command, "--replace"]]]

    def result(self, place: Place) -> Any:
        """What it made, to be compared."""
        raise NotImplementedError

    def ledgers(self, place: Place) -> list[Path]:
        """The files that say how far it is."""
        return []


class Encode(Job):
    """Vector shards by the model."""

    name = "encode"

    def command(self, place: Place) -> list[object]:
        """Its arguments."""
        world = place.world
        return ["encode", "--corpus", world.corpus, "--model", world.model, "--out", place.out,
                "--shard-documents", CHUNK, "--devices", "cpu"]  # fmt: skip

    def result(self, place: Place) -> Any:
        """Id -> terms -> weights."""
        from sparse_ir.data.shards import read_shards

        return {
            doc_id: {int(i): float(v) for i, v in zip(*shard.row(n), strict=True)}
            for shard in read_shards(place.out)
            for n, doc_id in enumerate(shard.ids)
        }

    def ledgers(self, place: Place) -> list[Path]:
        """The files that say how far it is."""
        return sorted(place.out.glob("ledger*.jsonl"))


class EncodeByTwo(Encode):
    """The same by two processes."""

    name = "encode, 2 workers"
    workers = True

    def command(self, place: Place) -> list[object]:
        """Its arguments."""
        return [*super().command(place)[:-1], "cpu,cpu"]


class Index(Job):
    """An index, of shards that are ready."""

    name = "index"
    writes = "home"
    corpus = "corpus"

    def command(self, place: Place) -> list[object]:
        """Its arguments."""
        world = place.world
        return ["index", "--corpus", world.corpus, "--vectors", world.folder / "vectors",
                "--engine", place.engine, "--index", "x", "--chunk-documents", CHUNK]  # fmt: skip

    def result(self, place: Place) -> Any:
        """Query -> documents -> scores, of all that match."""
        found = place.done(
            "search", "--engine", place.engine, "--index", "x", "--queries", place.world.queries,
            "-k", 1000, "--json",
        )  # fmt: skip
        if found.code:
            raise RuntimeError(found.last or f"search ended with {found.code}")
        answers = [json.loads(line) for line in found.out.splitlines() if line.strip()]
        return {
            str(answer.get("query_id", n)): {
                hit["doc_id"]: float(hit["score"]) for hit in answer["hits"]
            }
            for n, answer in enumerate(answers)
        }

    def ledgers(self, place: Place) -> list[Path]:
        """The files that say how far it is."""
        return sorted((place.home / "state").rglob("*.jsonl"))


class Update(Index):
    """A published index brought up to date."""

    name = "index --update"

    def prepare(self, place: Place) -> None:
        """The index as it was."""
        if place.engine == "embedded":
            shutil.copytree(place.world.folder / "indexed", place.home)
            return
        ended = place.done(*super().command(place), "--replace")
        if ended.code:
            raise RuntimeError(ended.last)

    def command(self, place: Place) -> list[object]:
        """Its arguments."""
        return ["index", "--update", "--corpus", place.world.changed, "--engine", place.engine,
                "--index", "x", "--delete-missing", "--chunk-documents", CHUNK,
                "--devices", "cpu"]  # fmt: skip

    def ways_back(self, place: Place) -> list[list[list[object]]]:
        """The same again."""
        return [[self.command(place)]]


class Train(Job):
    """A model."""

    name = "train"

    def command(self, place: Place) -> list[object]:
        """Its arguments."""
        return ["train", place.world.training, "--out", place.out / "model"]

    def result(self, place: Place) -> Any:
        """Its weights, bit by bit."""
        from safetensors.numpy import load_file

        weights = load_file(str(place.out / "model" / "model.safetensors"))
        return {name: weight.tobytes() for name, weight in weights.items()}

    def ledgers(self, place: Place) -> list[Path]:
        """What a checkpoint holds."""
        return sorted(p for p in place.out.glob("model-training/checkpoint-*/*") if p.is_file())


class Tune(Job):
    """The settings of pruning that are fast and lose nothing."""

    name = "tune"

    def command(self, place: Place) -> list[object]:
        """Its arguments."""
        return ["tune", place.world.dataset, "--model", place.world.model, "--out", place.out,
                "--engine", place.engine, "--devices", "cpu", "--document-pruning", "top_k=16",
                "--query-pruning", "none", "--query-pruning", "top_k=4",
                "--two-step", "none"]  # fmt: skip

    def ways_back(self, place: Place) -> list[list[list[object]]]:
        """The same again."""
        return [[self.command(place)]]

    def result(self, place: Place) -> Any:
        """What was tried and how good it was; times are never twice the same."""
        if not (place.out / "tuned.yaml").is_file():
            raise RuntimeError("there is no tuned.yaml")
        with (place.out / "tune.csv").open(newline="") as stream:
            rows = list(csv.DictReader(stream))
        return sorted(
            tuple(v for n, v in row.items() if "pruning" in n or "step" in n or "ndcg" in n)
            for row in rows
        )


class IndexOwnShards(Index):
    """An index, of shards that lie in the place and may be damaged."""

    name = "index of shards"

    def prepare(self, place: Place) -> None:
        """A copy of the shards."""
        shutil.copytree(place.world.folder / "vectors", place.out)

    def command(self, place: Place) -> list[object]:
        """Its arguments."""
        shared = place.world.folder / "vectors"
        return [place.out if one == shared else one for one in super().command(place)]

    def ways_back(self, place: Place) -> list[list[list[object]]]:
        """The shards are made again, then the index."""
        return [[[*Encode().command(place), "--replace"], [*self.command(place), "--replace"]]]


class Search(Index):
    """The answers of an index that is there."""

    name = "search"

    def prepare(self, place: Place) -> None:
        """A copy of the index."""
        shutil.copytree(place.world.folder / "indexed", place.home)

    def command(self, place: Place) -> list[object]:
        """Its arguments."""
        return ["search", "--engine", place.engine, "--index", "x", "--queries",
                place.world.queries, "--json"]  # fmt: skip

    def ways_back(self, place: Place) -> list[list[list[object]]]:
        """The index is built again."""
        return [[[*super().command(place), "--replace"]]]


JOBS: dict[str, Job] = {
    job.name: job
    for job in (
        Encode(), EncodeByTwo(), Index(), Update(), Train(), Tune(), IndexOwnShards(), Search(),
    )
}  # fmt: skip


def alike(one: Any, other: Any) -> bool:
    """Whether two results are equal but for the rounding of sums in another order."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-5, abs_tol=1e-5)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(alike(one[name], other[name]) for name in one)
    return bool(one == other)
