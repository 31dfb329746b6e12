"""Runs of a campaign: each has a number, and the same number does the same again."""

from __future__ import annotations

import random
import shutil
import time
from typing import TYPE_CHECKING, NamedTuple

from campaign.faults import FAULTS, NotHereError, go_back
from campaign.jobs import JOBS, Place, alike

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from campaign.jobs import Job
    from campaign.world import World

_STOPS = ("kill -9", "kill -9 at work", "SIGTERM", "Ctrl-C", "disk full", "read-only folder",
          "clock jumps", "two processes", "damaged ledger")  # fmt: skip
PAIRS = (
    *((fault, job) for fault in _STOPS for job in ("encode", "encode, 2 workers", "index")),
    *((fault, "train") for fault in (*_STOPS[:6], "clock jumps", "damaged ledger")),
    *((fault, job) for fault in ("kill -9", "SIGTERM", "disk full", "two processes")
      for job in ("index --update", "tune")),
    *[("kill -9 of a worker", "encode, 2 workers")] * 3,
    *[("damaged shards", "index of shards")] * 6,
    *[("damaged index", "search")] * 6,
)  # fmt: skip


class Run(NamedTuple):
    """One run and what came of it.

    Attributes:
        outcome: "went on" (the way back was gone), "unharmed" (it was over before, or the fault
            did not matter), "refused" (with a clear line, and the way back was gone), "not here",
            or "FAILED".
        told: What was done, and what went wrong.
    """

    number: int
    fault: str
    job: str
    outcome: str
    told: str
    seconds: float


def measure(world: World, folder: Path) -> None:
    """Run every job once without a fault."""
    for name in ("encode", "index", *JOBS):
        if name in world.wanted:
            continue
        job, place = JOBS[name], Place(world, folder / name.replace(" ", "-"))
        place.folder.mkdir(parents=True)
        job.prepare(place)
        before, start = _bytes(place.folder), time.monotonic()
        ended = place.done(*job.command(place))
        if ended.code:
            raise RuntimeError(f"{name} fails without any fault: {ended.err[-2000:]}")
        world.seconds[name] = time.monotonic() - start
        world.bytes[name] = _bytes(place.folder) - before
        world.wanted[name] = job.result(place)
        for made, kept in (("encode", "vectors"), ("index", "indexed")):
            if name == made:
                shutil.copytree(place.out if name == "encode" else place.home, world.folder / kept)


def campaign(world: World, folder: Path, numbers: range, seed: int, only: str) -> Iterator[Run]:
    """Do the runs of these numbers, one after another."""
    pairs = [pair for pair in PAIRS if only in " / ".join(pair)]
    for number in numbers:
        fault, name = pairs[number % len(pairs)]
        start = time.monotonic()
        place = Place(world, folder / f"run-{number}")
        place.folder.mkdir(parents=True)
        outcome, told = _one(fault, JOBS[name], place, random.Random(f"{seed}/{number}"))
        if outcome != "FAILED":
            shutil.rmtree(place.folder)
        yield Run(number, fault, name, outcome, told, time.monotonic() - start)


def _one(fault: str, job: Job, place: Place, dice: random.Random) -> tuple[str, str]:
    try:
        job.prepare(place)
        told = FAULTS[fault](job, place, dice)
    except NotHereError as error:
        return "not here", str(error)
    wrong = [text for text in (ended.fault() for ended in told.ended) if text]
    again = told.again and told.ended[-1].code != 0
    said = [f"{ended.code}: {ended.last}" for ended in told.ended if ended.code > 0]
    if again:
        back = go_back(job, place)
        wrong += [text for text in (ended.fault() for ended in back) if text]
        said += [f"{ended.code}: {ended.last}" for ended in back if ended.code]
        if back[-1].code:
            wrong.append("no way back")
    try:
        found = job.result(place)
    except Exception as error:  # whatever it is, it is what the campaign looks for
        wrong.append(f"nothing to read in the end: {error!r}"[:300])
    else:
        if not alike(found, place.world.wanted[job.name]):
            wrong.append("another result")
    story = " | ".join([told.what, *said])
    if wrong:
        return "FAILED", " | ".join([*wrong, story])
    killed = any(ended.code < 0 for ended in told.ended)
    stopped = any(ended.code > 0 for ended in told.ended)
    return ("refused" if stopped else "went on" if killed else "unharmed"), story


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
