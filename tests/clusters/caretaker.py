"""Waits until its standard input ends, then ends and wipes every cluster below a folder.

Whoever starts clusters holds the other end of that pipe. So nothing is left running, whatever
becomes of him: a test run that was interrupted, terminated or killed with -9.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path


def watch(folder: Path) -> subprocess.Popen[bytes]:
    """Start a caretaker for a folder; closing its standard input lets it do its work."""
    return subprocess.Popen(
        [sys.executable, __file__, str(folder)],
        stdin=subprocess.PIPE,
        start_new_session=True,  # an interrupt from the keyboard is not for it
    )


def wipe_all(folder: Path) -> None:
    """End and wipe every cluster whose folder lies in this one, and the folder itself."""
    from clusters.cluster import STATE, Cluster

    for state in sorted(folder.glob(f"*/{STATE}")):
        cluster = Cluster.load(state.parent)
        if cluster is not None:
            cluster.stop(wipe=True)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    sys.stdin.read()
    wipe_all(Path(sys.argv[1]))
