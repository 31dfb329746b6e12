"""Server homes: fetched through Maven once, checked against a pinned digest, kept in a cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
import zipfile
from pathlib import Path

from clusters.failures import ClusterError, MissingError
from clusters.folders import cache, locked
from clusters.java import installations
from clusters.releases import LOG4J, Release

LAYOUT = 2  # raise it when a home put together from the same jars would come out different
DEPENDENCY_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1"
FETCH_SECONDS = 900
POM = (
    '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
    "<groupId>local</groupId><artifactId>{name}</artifactId><version>1</version>"
    "<packaging>{packaging}</packaging>{rest}</project>"
)


def home_of(release: Release) -> Path:
    """Where a server's home lies, or will."""
    return cache() / "home" / f"{release.product}-{release.version}-{LAYOUT}"


def fetch(release: Release) -> Path:
    """Return a server's home; the first call downloads and checks it (60 to 100 MB).

    Raises:
        MissingError: Maven is not there, or could not reach its repository.
        ClusterError: The jars are not those that were pinned.
    """
    home = home_of(release)
    with locked(release.kind):
        if home.exists():
            return home
        home.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache()) as folder:
            part, work = Path(folder) / "home", Path(folder) / "fetch"
            work.mkdir()
            assemble = _opensearch if release.product == "opensearch" else _elasticsearch
            assemble(release, part, work)
            _require(_digest(part), release.digest, f"{release.kind} {release.version}: the jars")
            part.rename(home)
    return home


def _opensearch(release: Release, home: Path, work: Path) -> None:
    """Put OpenSearch together from the jars of which its distribution is made."""
    version = release.version
    server = (
        f"org.opensearch:opensearch:{version}",
        f"org.opensearch:opensearch-plugin-classloader:{version}",
        f"org.apache.logging.log4j:log4j-core:{LOG4J}",
    )
    agent = (f"org.opensearch:opensearch-agent:{version}",)
    _fetch_jars(release, home, work, {"lib": server, "agent": agent})


def _elasticsearch(release: Release, home: Path, work: Path) -> None:
    """Unpack the small distribution that Elasticsearch publishes for integration tests."""
    name = f"elasticsearch-{release.version}"
    group = "org.elasticsearch.distribution.integ-test-zip"
    _maven(
        work,
        f"{DEPENDENCY_PLUGIN}:copy",
        f"-DoutputDirectory={work}",
        f"-Dartifact={group}:elasticsearch:{release.version}:zip",
        checksums=False,  # the repository may have none for a zip; its digest is pinned
    )
    got = hashlib.sha256((work / f"{name}.zip").read_bytes()).hexdigest()
    _require(got, release.archive_digest, f"{release.kind} {release.version}: the zip")
    with zipfile.ZipFile(work / f"{name}.zip") as archive:
        archive.extractall(work)
    shutil.move(work / name, home)
    for program in (home / "bin").iterdir():
        program.chmod(0o755)
    if release.modules:
        _fetch_jars(release, home, work, {})


def _fetch_jars(release: Release, home: Path, work: Path, sets: dict[str, tuple[str, ...]]) -> None:
    """Copy sets of jars, with all that they need, into folders of the home, and the modules."""
    plugins = f"org.{release.product}.plugin"
    wanted = dict(sets)
    for name, module in release.modules.items():
        wanted[name] = (f"{plugins}:{module.artifact}:{release.version}",)
    _write_projects(work, wanted)
    _maven(work, f"{DEPENDENCY_PLUGIN}:copy-dependencies", "-DincludeScope=runtime")
    for name in wanted:  # lib comes first: a module leaves out the jars that are there
        is_module = name in release.modules
        folder = home / "modules" / name if is_module else home / name
        folder.mkdir(parents=True, exist_ok=True)
        have = {jar.name for jar in (home / "lib").glob("*.jar")} if is_module else set()
        for jar in (work / name / "target" / "dependency").glob("*.jar"):
            if jar.name not in have:
                shutil.copy(jar, folder)
    for name in release.modules:
        _describe(release, name, home / "modules" / name)


def _write_projects(work: Path, sets: dict[str, tuple[str, ...]]) -> None:
    """Write one Maven project for each set of coordinates, and one above them."""
    names = "".join(f"<module>{name}</module>" for name in sets)
    _write_project(work, "all", "pom", f"<modules>{names}</modules>")
    for name, coordinates in sets.items():
        needs = "".join(
            "<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version>"
            "</dependency>".format(*coordinate.split(":"))
            for coordinate in coordinates
        )
        (work / name).mkdir()
        _write_project(work / name, name, "jar", f"<dependencies>{needs}</dependencies>")


def _write_project(folder: Path, name: str, packaging: str, rest: str) -> None:
    text = POM.format(name=name, packaging=packaging, rest=rest)
    (folder / "pom.xml").write_text(text, encoding="utf-8")


def _describe(release: Release, name: str, folder: Path) -> None:
    module, product = release.modules[name], release.product
    (folder / "plugin-descriptor.properties").write_text(
        f"name={name}\ndescription={name}\nversion={release.version}\n"
        f"{product}.version={release.version}\njava.version=1.8\n"
        f"classname=org.{product}.{module.class_name}\nextended.plugins={module.extends}\n"
        "has.native.controller=false\n",
        encoding="utf-8",
    )
    if product == "opensearch":  # its agent lets no module open a connection without this
        (folder / "plugin-security.policy").write_text(
            'grant { permission java.net.SocketPermission "*", "accept,connect"; };\n',
            encoding="utf-8",
        )


def _maven(folder: Path, *arguments: str, checksums: bool = True) -> None:
    """Run Maven; a download whose checksum is missing or wrong is an error, unless told not to."""
    program = shutil.which("mvn")
    if program is None:
        raise MissingError("Maven (mvn) is not on PATH; it fetches the servers. Install maven.")
    try:
        done = subprocess.run(
            [program, "-B", "-q", "-C" if checksums else "-c", *arguments],
            cwd=folder,
            env=_maven_environment(),
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=FETCH_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise MissingError(
            f"Maven was not done after {FETCH_SECONDS} s; is there a network?"
        ) from None
    if done.returncode:
        errors = [line for line in done.stdout.splitlines() if "[ERROR] " in line]
        said = (errors or done.stdout.splitlines() or ["nothing"])[0]
        raise MissingError(f"Maven could not fetch the server. It said: {said[:600]}")


def _maven_environment() -> dict[str, str]:
    environment = dict(os.environ)
    if shutil.which("java") is None:  # Maven looks nowhere else by itself
        home = next((home for home, _ in installations()), None)
        if home is None:
            raise MissingError("there is no Java here; Maven and the servers need one.")
        environment["JAVA_HOME"] = str(home)
    return environment


def _require(got: str, pinned: str, what: str) -> None:
    if got != pinned:
        raise ClusterError(f"{what} that Maven fetched has the digest {got}, not {pinned}.")


def _digest(home: Path) -> str:
    lines = sorted(
        f"{jar.relative_to(home)} {hashlib.sha256(jar.read_bytes()).hexdigest()}"
        for jar in home.rglob("*.jar")
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
