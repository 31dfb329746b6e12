"""Run OpenSearch and Elasticsearch on this machine: ``python tests/clusters --help``."""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).resolve().parents[1])

from clusters import homes  # noqa: E402  (found only after the line above)
from clusters.cluster import STATE, Cluster  # noqa: E402
from clusters.failures import ClusterError  # noqa: E402
from clusters.folders import cache, locked  # noqa: E402
from clusters.java import java_home  # noqa: E402
from clusters.releases import RELEASES, release_of  # noqa: E402

EPILOG = """\
A server that was started keeps its data and runs until it is stopped; starting it once more does
nothing, or brings its dead nodes back. SPARSE_IR_CLUSTERS names the folder of all downloads and
data, SPARSE_IR_JAVA_HOME the Java to use. Where security is on, SPARSE_IR_CLUSTER_AUTH holds
user:password for the health check; for the user elastic it is also his first password.
"""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit code is 1 where it failed."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except ClusterError as error:
        sys.stderr.write(f"Error: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _start(options: argparse.Namespace) -> None:
    name = options.name or options.kind
    settings, files = dict(options.set), dict(options.file)
    with locked(f"run-{name}"):
        cluster = Cluster.load(_folder(name), os.environ.get("SPARSE_IR_CLUSTER_AUTH"))
        if cluster and options.fresh:
            cluster.stop(wipe=True)
            cluster = None
        if cluster is None:
            cluster = Cluster.create(
                _folder(name),
                options.kind,
                node_count=options.nodes,
                port=release_of(options.kind).port if options.port is None else options.port,
                heap=options.heap,
                settings=settings,
                files=files,
                auth=os.environ.get("SPARSE_IR_CLUSTER_AUTH"),
                api_keys=options.api_keys,
            )
        elif (cluster.kind, len(cluster.urls)) != (options.kind, options.nodes) or files:
            raise ClusterError(f"{name} is there with other options. Use --fresh or --name.")
        elif settings and settings != cluster.settings:
            if any(cluster.pid(i) for i in range(len(cluster.urls))):
                raise ClusterError(f"{name} runs with other settings. Stop it first.")
            cluster.settings = settings
        cluster.start(timeout_seconds=options.timeout)
    sys.stdout.write("".join(f"{url}\n" for url in cluster.urls))


def _fetch(options: argparse.Namespace) -> None:
    for kind in options.kinds or RELEASES:
        sys.stdout.write(f"{kind}: {homes.fetch(release_of(kind))}\n")
    _java(options)


def _java(options: argparse.Namespace) -> None:
    for kind in options.kinds or RELEASES:
        sys.stdout.write(f"{kind} runs on {java_home(release_of(kind))}\n")


def _kill(options: argparse.Namespace) -> None:
    cluster = _existing(options.name)
    if options.signal == "KILL":
        cluster.kill(options.node)
    else:
        cluster.send(signal.Signals[f"SIG{options.signal}"], options.node)


def _stop(options: argparse.Namespace) -> None:
    with locked(f"run-{options.name}"):
        _existing(options.name).stop(wipe=options.wipe)


def _status(options: argparse.Namespace) -> None:
    auth = os.environ.get("SPARSE_IR_CLUSTER_AUTH")
    rows: list[dict[str, Any]] = []
    for state in sorted((cache() / "clusters").glob(f"*/{STATE}")):
        cluster = Cluster.load(state.parent, auth)
        for index, url in enumerate(cluster.urls if cluster else []):
            rows.append(_row(cluster, index, url))
    if options.json:
        sys.stdout.write(json.dumps(rows) + "\n")
        return
    for row in rows:
        sys.stdout.write("{name:16} node {node} {url} pid {pid} cluster {health}\n".format(**row))


def _row(cluster: Any, index: int, url: str) -> dict[str, Any]:
    pid, health = cluster.pid(index), "down"
    if pid:
        try:
            health = cluster.health(index)["status"]
        except (OSError, ValueError):
            health = "not answering"
    row = {"name": cluster.name, "kind": cluster.kind, "node": index, "url": url}
    return row | {"pid": pid, "health": health}


def _existing(name: str) -> Cluster:
    cluster = Cluster.load(_folder(name), os.environ.get("SPARSE_IR_CLUSTER_AUTH"))
    if cluster is None:
        raise ClusterError(f"there is no cluster {name!r}.")
    return cluster


def _folder(name: str) -> Path:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
        raise ClusterError(f"{name!r} is no name: use letters, digits, '_', '.' and '-'.")
    return cache() / "clusters" / name


def _setting(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value


def _file(text: str) -> tuple[str, Path]:
    name, _, source = text.partition("=")
    if not Path(source).is_file():
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=FILE with a file that is there")
    return name, Path(source)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python tests/clusters", description=__doc__, epilog=EPILOG
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    start = commands.add_parser("start", help="start a server, print the URL of every node")
    start.add_argument("kind", choices=list(RELEASES))
    start.add_argument("--name", help="of the cluster (default: its kind)")
    start.add_argument("--nodes", type=int, default=1)
    start.add_argument("--port", type=int, help="HTTP port of the first node; 0 takes free ones")
    start.add_argument("--heap", default="400m", help="of every node (default: 400m)")
    start.add_argument(
        "--set",
        action="append",
        default=[],
        type=_setting,
        metavar="KEY=VALUE",
        help="a node setting; holds from the next start on",
    )
    start.add_argument(
        "--file",
        action="append",
        default=[],
        type=_file,
        metavar="NAME=FILE",
        help="a file to copy into every node's config folder, as in certs/http.pem=my.pem",
    )
    start.add_argument(
        "--api-keys", action="store_true", help="let API keys work (Elasticsearch 8 and 9)"
    )
    start.add_argument("--fresh", action="store_true", help="end it and drop its data first")
    start.add_argument("--timeout", type=float, default=300, metavar="SECONDS")
    start.set_defaults(run=_start)
    fetch = commands.add_parser("fetch", help="download servers, all or some")
    fetch.add_argument("kinds", nargs="*", metavar="KIND")
    fetch.set_defaults(run=_fetch)
    java = commands.add_parser("java", help="say which Java each server would run on")
    java.add_argument("kinds", nargs="*", metavar="KIND")
    java.set_defaults(run=_java)
    kill = commands.add_parser("kill", help="kill or freeze nodes")
    kill.add_argument("name")
    kill.add_argument("--node", type=int)
    kill.add_argument("--signal", choices=["KILL", "STOP", "CONT", "TERM"], default="KILL")
    kill.set_defaults(run=_kill)
    stop = commands.add_parser("stop", help="shut a cluster down")
    stop.add_argument("name")
    stop.add_argument("--wipe", action="store_true", help="drop its data too")
    stop.set_defaults(run=_stop)
    status = commands.add_parser("status", help="say what runs")
    status.add_argument("--json", action="store_true")
    status.set_defaults(run=_status)
    return parser


if __name__ == "__main__":
    sys.exit(main())
