"""Do bad things at random moments: ``python tests/campaign --runs 200 --seed 1 --out table.md``."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

from campaign.runs import Run, campaign, measure  # noqa: E402 (found only after the line above)
from campaign.world import make_world  # noqa: E402


def main() -> int:
    """Run the campaign and print its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--first", type=int, default=0, help="number of the first run")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="part of 'FAULT / JOB'")
    parser.add_argument("--folder", type=Path, help="for what failed; a temporary one by default")
    parser.add_argument("--out", type=Path, help="the table, Markdown")
    args = parser.parse_args()
    folder = args.folder or Path(tempfile.mkdtemp(prefix="campaign-"))
    folder.mkdir(parents=True, exist_ok=True)
    world = make_world(folder / "world", args.seed)
    measure(world, folder / "without-fault")
    print({name: round(seconds, 1) for name, seconds in world.seconds.items()}, flush=True)
    runs = []
    numbers = range(args.first, args.first + args.runs)
    for run in campaign(world, folder, numbers, args.seed, args.only):
        runs.append(run)
        print(f"{run.number:4} {run.seconds:5.1f} s  {run.outcome:8}  {run.fault} / {run.job}: "
              f"{run.told}", flush=True)  # fmt: skip
    table = tabulate(runs)
    print(table)
    if args.out:
        args.out.write_text(table, encoding="utf-8")
    failed = sum(run.outcome == "FAILED" for run in runs)
    print(f"{len(runs)} runs, {failed} failed; seed {args.seed}; {folder}")
    return 1 if failed else 0


def tabulate(runs: list[Run]) -> str:
    """Counts of outcomes by fault and job."""
    outcomes = ("went on", "refused", "unharmed", "FAILED", "not here")
    lines = ["| fault | job | " + " | ".join(outcomes) + " |", "| --- | --- |" + " ---: |" * 5]
    counts: dict[tuple[str, str], Counter[str]] = {}
    for run in runs:
        counts.setdefault((run.fault, run.job), Counter())[run.outcome] += 1
    for (fault, job), found in counts.items():
        cells = " | ".join(str(found[outcome] or "") for outcome in outcomes)
        lines.append(f"| {fault} | {job} | {cells} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
