"""A home of Elasticsearch in which API keys and native users work.

The distribution that is published for integration tests refuses both, for want of three parts of
text analysis; ``EmailAnalysis.java`` gives it those as a plugin.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from clusters.failures import ClusterError, MissingError
from clusters.folders import cache, locked

if TYPE_CHECKING:
    from clusters.releases import Release

SOURCE = Path(__file__).with_name("EmailAnalysis.java")


def with_api_keys(release: Release, home: Path, java: Path) -> Path:
    """Return a home with the plugin beside one without; the first call compiles it.

    Args:
        release: Elasticsearch 8 or 9.
        home: The home without.
        java: A JDK, with its compiler.

    Raises:
        ClusterError: It is another server, or the plugin does not compile.
        MissingError: The Java has no compiler.
    """
    if release.product != "elasticsearch" or release.version.startswith("7."):
        raise ClusterError(f"{release.kind} is not taught API keys here.")
    there = home.with_name(f"{home.name}-api-keys")
    with locked(f"{release.kind}-api-keys"):
        if there.exists():
            return there
        if not (java / "bin" / "javac").exists():
            raise MissingError(f"{java} has no compiler (javac): install a JDK, no JRE.")
        with tempfile.TemporaryDirectory(dir=cache()) as folder:
            part = Path(folder) / "home"
            shutil.copytree(home, part, copy_function=os.link)
            _add_plugin(release, part, java)
            part.rename(there)
    return there


def _add_plugin(release: Release, home: Path, java: Path) -> None:
    folder = home / "plugins" / "email-analysis"
    classes = folder / "classes"
    classes.mkdir(parents=True)
    jar = folder / "email-analysis.jar"
    level = str(release.java[0])
    compiling: tuple[str | Path, ...] = (
        "javac",
        "--release",
        level,
        "-cp",
        f"{home}/lib/*",
        "-d",
        classes,
        SOURCE,
    )
    packing: tuple[str | Path, ...] = ("jar", "--create", "--file", jar, "-C", classes, ".")
    for tool, *arguments in (compiling, packing):
        done = subprocess.run(
            [java / "bin" / str(tool), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ClusterError(f"{tool} failed on {SOURCE.name}: {done.stdout[:400]}")
    shutil.rmtree(classes)
    (folder / "plugin-descriptor.properties").write_text(
        "name=email-analysis\ndescription=what the index of API keys names\nversion=1\n"
        f"elasticsearch.version={release.version}\njava.version={release.java[0]}\n"
        "classname=clusters.EmailAnalysis\n",
        encoding="utf-8",
    )
