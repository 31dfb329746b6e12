"""What is done to a job. Each fault gives back how every command of the run ended."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from campaign.damage import flip

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator

    from campaign.jobs import Job, Place
    from campaign.process import Ended

FAKETIME = "libfaketime.so.1"
SLEEP = Path(__file__).with_name("clock")


class Told(NamedTuple):
    """What happened in one run.

    Attributes:
        what: The fault, with its place or moment.
        ended: Every command that was disturbed.
        again: Whether the way back has to be gone.
    """

    what: str
    ended: list[Ended]
    again: bool = True


class NotHereError(Exception):
    """This machine cannot do such a thing."""


def _moment(job: Job, place: Place, dice: random.Random) -> float:
    return dice.uniform(0.3, place.world.seconds[job.name])


def killed(job: Job, place: Place, dice: random.Random) -> Told:
    """Kill -9 of the process alone, at a random moment; its workers are to end by themselves."""
    return _stopped(job, place, _moment(job, place, dice), signal.SIGKILL)


def killed_at_work(job: Job, place: Place, dice: random.Random) -> Told:
    """Kill -9 when some part is acknowledged and the next under way."""
    process = place.run(*job.command(place))
    count = dice.randrange(1, 8)
    process.until(lambda: _progress(job, place) >= count)
    process.after(dice.uniform(0, 0.1))
    process.signal(signal.SIGKILL)
    return Told(f"kill -9 after part {count}", [process.end()])


def terminated(job: Job, place: Place, dice: random.Random) -> Told:
    """SIGTERM at a random moment."""
    return _stopped(job, place, _moment(job, place, dice), signal.SIGTERM)


def interrupted(job: Job, place: Place, dice: random.Random) -> Told:
    """Ctrl-C at a random moment, which every process of the group hears."""
    seconds = _moment(job, place, dice)
    process = place.run(*job.command(place))
    process.after(seconds)
    process.signal_all(signal.SIGINT)
    return Told(f"Ctrl-C after {seconds:.2f} s", [process.end()])


def worker_killed(job: Job, place: Place, dice: random.Random) -> Told:
    """Kill -9 of one worker; the run itself is to go on."""
    process = place.run(*job.command(place))
    process.until(lambda: len(process.workers()) >= 2)
    process.after(dice.uniform(0, place.world.seconds[job.name] / 2))
    workers = process.workers()
    if workers:
        with suppress(ProcessLookupError):
            os.kill(dice.choice(workers), signal.SIGKILL)
    return Told(f"kill -9 of one of {len(workers)} workers", [process.end()])


def disk_full(job: Job, place: Place, dice: random.Random) -> Told:
    """A disk that is full at some point; then there is room."""
    folder = getattr(place, job.writes)
    with _disk(folder, place) as (size, resize):
        before = size()
        room = before + dice.randrange(4096, max(place.world.bytes[job.name], 8192))
        resize(room)
        ended = [place.done(*job.command(place))]
        resize(1 << 30)
        if ended[0].code:
            ended += go_back(job, place)
    return Told(f"{room - before:,} bytes of room", ended, again=False)


def read_only(job: Job, place: Place, dice: random.Random) -> Told:
    """A folder that cannot be written, before the start or after a kill -9."""
    folder = getattr(place, job.writes)
    folder.mkdir(parents=True, exist_ok=True)
    ended = []
    command = job.command(place)
    if dice.random() < 0.5:
        ended.append(_stopped(job, place, _moment(job, place, dice), signal.SIGKILL).ended[0])
        command = job.ways_back(place)[0][0]
    with _mounted(folder, "bind", "ro"):
        ended.append(place.done(*command))
    return Told(f"{job.writes} is read-only", ended)


def clock(job: Job, place: Place, dice: random.Random) -> Told:
    """The clock jumps by days while it runs, there and back."""
    library = _faketime()
    control = place.folder / "clock"
    control.write_text("+0\n")
    process = place.run(
        *job.command(place),
        environment={
            "LD_PRELOAD": library,
            "FAKETIME_TIMESTAMP_FILE": str(control),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "PYTHONPATH": os.pathsep.join([str(SLEEP), os.environ.get("PYTHONPATH", "")]),
        },
    )
    jumps = [dice.choice(("-400d", "+400d", "-1h", "+3d")) for _ in range(3)]
    for jump in jumps:
        if not process.after(place.world.seconds[job.name] / 4):
            break
        control.write_text(f"{jump}\n")
    return Told(f"the clock goes {', '.join(jumps)}", [process.end()], again=False)


def twice(job: Job, place: Place, dice: random.Random) -> Told:
    """The same command in two processes at once."""
    first = place.run(*job.command(place))
    time.sleep(dice.uniform(0, 1.5))
    second = place.run(*job.command(place))
    ended = [first.end(), second.end()]
    return Told("two processes", ended, again=all(one.code for one in ended))


def damaged_ledger(job: Job, place: Place, dice: random.Random) -> Told:
    """A byte of what says how far a killed run is, flipped; then it is to go on."""
    process = place.run(*job.command(place))
    count = dice.randrange(2, 8)
    process.until(lambda: _progress(job, place) >= count)
    process.signal_all(signal.SIGKILL)
    ended = [process.end()]
    files = [path for path in job.ledgers(place) if path.stat().st_size]
    if not files:
        return Told("no ledger to damage", ended)
    return Told(flip(dice.choice(files), dice), ended)


def damaged_shards(job: Job, place: Place, dice: random.Random) -> Told:
    """A byte of finished shards, their vocabulary or their manifest, flipped."""
    files = sorted(path for path in place.out.iterdir() if path.is_file())
    told = flip(dice.choice([*files, place.out / "manifest.json"]), dice)
    return _read(job, place, told)


def damaged_index(job: Job, place: Place, dice: random.Random) -> Told:
    """A byte of a published embedded index, flipped."""
    files = sorted(p for p in place.home.rglob("*") if p.is_file() and p.stat().st_size)
    return _read(job, place, flip(dice.choice(files), dice))


def _read(job: Job, place: Place, told: str) -> Told:
    """Whether it can be used as it is; an answer is compared, a refusal needs the way back."""
    ended = place.done(*job.command(place))
    return Told(told, [ended], again=bool(ended.code))


def _progress(job: Job, place: Place) -> int:
    if job.name == "train":
        return sum(path.name == "sparse_ir.json" for path in job.ledgers(place)) * 3
    return max((path.read_bytes().count(b"\n") - 1 for path in job.ledgers(place)), default=0)


def _stopped(job: Job, place: Place, seconds: float, number: signal.Signals) -> Told:
    process = place.run(*job.command(place))
    process.after(seconds)
    process.signal(number)
    return Told(f"{number.name} after {seconds:.2f} s", [process.end()])


def go_back(job: Job, place: Place) -> list[Ended]:
    """Go the first way back that is not refused."""
    ended = []
    for commands in job.ways_back(place):
        for command in commands:
            ended.append(place.done(*command))
            if ended[-1].code:
                break
        else:
            break
    return ended


@contextmanager
def _disk(folder: Path, place: Place) -> Iterator[tuple[Callable[[], int], Callable[[int], None]]]:
    """A file system of its own for a folder; what was in it stays, and is there afterwards."""
    kept = place.folder / "kept"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(folder, kept)

    def resize(size: int) -> None:
        _mount("-o", f"remount,size={size}", str(folder))

    def used() -> int:
        return shutil.disk_usage(folder).used

    with _mounted(folder, "size=1g", kind="tmpfs"):
        shutil.copytree(kept, folder, dirs_exist_ok=True)
        yield used, resize
        shutil.rmtree(kept)
        shutil.copytree(folder, kept)
    shutil.rmtree(folder)
    kept.rename(folder)


@contextmanager
def _mounted(folder: Path, *options: str, kind: str = "") -> Iterator[None]:
    if kind:
        _mount("-t", kind, "-o", ",".join(options), kind, str(folder))
    else:
        _mount("--bind", str(folder), str(folder))
        _mount("-o", "remount,bind,ro", str(folder))
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True, capture_output=True)


def _mount(*arguments: str) -> None:
    try:
        subprocess.run(["mount", *arguments], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        raise NotHereError("mounting is not permitted") from None


def _faketime() -> str:
    for folder in Path("/usr/lib").glob("*/faketime"):
        if (folder / FAKETIME).is_file():
            return str(folder / FAKETIME)
    raise NotHereError("faketime is not installed (apt-get install faketime)")


FAULTS: dict[str, Callable[[Job, Place, random.Random], Told]] = {
    "kill -9": killed,
    "kill -9 at work": killed_at_work,
    "SIGTERM": terminated,
    "Ctrl-C": interrupted,
    "kill -9 of a worker": worker_killed,
    "disk full": disk_full,
    "read-only folder": read_only,
    "clock jumps": clock,
    "two processes": twice,
    "damaged ledger": damaged_ledger,
    "damaged shards": damaged_shards,
    "damaged index": damaged_index,
}
