"""From the address of a cluster to a transport that fits the server found there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from sparse_ir.engines.credentials import load_credentials
from sparse_ir.engines.transport import Answer, ConnectionLostError, Transport
from sparse_ir.errors import ConfigError, EngineError

if TYPE_CHECKING:
    from sparse_ir.engines.addresses import ClusterAddress
    from sparse_ir.engines.credentials import Credentials
    from sparse_ir.engines.nodes import NodesTransport

_NAMES = {"elasticsearch": "Elasticsearch", "opensearch": "OpenSearch"}
_OLDEST = {"elasticsearch": (7, 17, 0), "opensearch": (2, 0, 0)}
_VERSION = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")


class Server(NamedTuple):
    """What answers at an address.

    Attributes:
        flavour: "elasticsearch" or "opensearch".
        version: Major, minor, patch.
        version_text: As the server writes it, such as "9.0.0-rc1".
    """

    flavour: str
    version: tuple[int, int, int]
    version_text: str


# what OpenSearch 2 says at "/" where compatibility.override_main_response_version is set
_COMPATIBLE = "7.10.2"
# what a serverless collection of AWS is taken for: it tells no version
_SERVERLESS = Server("opensearch", (2, 11, 0), "serverless")


def connect(address: ClusterAddress) -> tuple[Transport, Server]:
    """Find out what server it is and open the transport of its client library.

    Raises:
        ConnectionLostError: nothing answers there now.
        EngineError: what answers is not supported, or refuses.
        MissingExtraError: its client is an extra that is not installed.
        ConfigError: the credentials cannot be used.
    """
    credentials = load_credentials(address.urls)
    if credentials.aws_region and address.flavour == "elasticsearch":
        raise ConfigError(
            "SPARSE_IR_AWS_REGION signs for OpenSearch; the address is Elasticsearch's."
        )
    probe = _probe(address, credentials)
    try:
        server = _server(probe, address, credentials)
        _require_supported(server, address)
        if server.flavour == "opensearch" and address.flavour != "elasticsearch":
            return probe, server
        fitting = _elasticsearch(address, credentials, server.version[0])
    except BaseException:
        probe.close()
        raise
    probe.close()
    return fitting, server


def _probe(address: ClusterAddress, credentials: Credentials) -> NodesTransport:
    """The transport that asks what is there.

    opensearch-py's where it may be OpenSearch: it asks for plain JSON, which every server speaks,
    checks no product, signs for AWS, and stays where the server is OpenSearch.
    """
    if address.flavour == "elasticsearch":
        return _elasticsearch(address, credentials, None)
    from sparse_ir.engines.opensearch import opensearch_transport

    return opensearch_transport(address.urls, credentials)


def _elasticsearch(
    address: ClusterAddress, credentials: Credentials, major: int | None
) -> NodesTransport:
    from sparse_ir.engines.elasticsearch import elasticsearch_transport

    return elasticsearch_transport(address.urls, credentials, major=major)


def _server(probe: Transport, address: ClusterAddress, credentials: Credentials) -> Server:
    root = _ask(probe, address, "/")
    found = _from_root(root)
    posing = found is not None and found[::2] == ("opensearch", _COMPATIBLE)
    if posing or (found is None and root.status in (403, 404, 405)):
        # 405: a node without the module for it; 403: no right to see it
        nodes = _ask(probe, address, "/_nodes")
        found = _from_nodes(nodes)
        root = nodes if nodes.status == 403 else root
    if found is not None:
        return found
    if credentials.aws_region and credentials.aws_service == "aoss" and root.status == 404:
        return _SERVERLESS
    raise EngineError(_not_a_server(address.urls[0], root))


def _ask(probe: Transport, address: ClusterAddress, path: str) -> Answer:
    """Send to one node after the other until one answers."""
    params = {"filter_path": "nodes.*.version,nodes.*.build_flavor"} if path == "/_nodes" else None
    lost = ""
    for _ in address.urls:
        try:
            return probe.send("GET", path, params=params)
        except ConnectionLostError as error:
            lost = str(error)
    if "connection was lost" in lost and address.urls[0].startswith("http:"):
        lost += " If the server speaks TLS, write https://."
    raise ConnectionLostError(lost)


def _from_root(answer: Answer) -> Server | None:
    version = answer.body.get("version") if isinstance(answer.body, dict) else None
    if answer.status != 200 or not isinstance(version, dict):
        return None
    if version.get("distribution") == "opensearch":
        return _named("opensearch", version.get("number"))
    is_elastic = answer.body.get("tagline") == "You Know, for Search"
    return _named("elasticsearch", version.get("number")) if is_elastic else None


def _from_nodes(answer: Answer) -> Server | None:
    nodes = answer.body.get("nodes") if isinstance(answer.body, dict) else None
    if answer.status != 200 or not isinstance(nodes, dict) or not nodes:
        return None
    # the oldest one: in the middle of a rolling upgrade it decides what may be asked
    found = [_from_node(node) for node in nodes.values()]
    servers = [server for server in found if server is not None]
    return min(servers, key=lambda server: server.version, default=None)


def _from_node(node: Any) -> Server | None:
    if not isinstance(node, dict):
        return None
    return _named("elasticsearch" if "build_flavor" in node else "opensearch", node.get("version"))


def _named(flavour: str, text: object) -> Server | None:
    match = _VERSION.match(text) if isinstance(text, str) else None
    if match is None:
        return None
    major, minor, patch = (int(part or 0) for part in match.groups())
    return Server(flavour, (major, minor, patch), str(text))


def _require_supported(server: Server, address: ClusterAddress) -> None:
    url, name = address.urls[0], _NAMES[server.flavour]
    if address.flavour is not None and server.flavour != address.flavour:
        raise EngineError(
            f"{url} is {name} {server.version_text}, not {_NAMES[address.flavour]}. Write "
            f"{server.flavour}: in front of the URL, or only the URL."
        )
    oldest = _OLDEST[server.flavour]
    if server.version < oldest:
        raise EngineError(
            f"{url} is {name} {server.version_text}; sparse-ir needs "
            f"{'.'.join(map(str, oldest[:2]))} or later."
        )


def _not_a_server(url: str, answer: Answer) -> str:
    if answer.status == 403:
        return (
            f"{url} does not say what it is (403{_words(answer.body)}). The credentials need the "
            "cluster privilege 'monitor' (OpenSearch: cluster_monitor)."
        )
    if answer.status == 429 or answer.status >= 500:
        return f"{url} is not ready ({answer.status}{_words(answer.body)}). Try again later."
    if 300 <= answer.status < 400:
        return f"{url} redirects to another address ({answer.status}). Write that one."
    return (
        f"{url} answers, but as neither Elasticsearch nor OpenSearch ({answer.status}). Check the "
        "host, the port and the path."
    )


def _words(body: object) -> str:
    """The server's own reason, cut to one short line."""
    if isinstance(body, dict):
        error = body.get("error", body)
        reason = (
            error.get("reason") or error.get("message") or error.get("Message")
            if isinstance(error, dict)
            else error
        )
        if isinstance(reason, str):
            return ": " + " ".join(reason.split())[:200]
    return ""
