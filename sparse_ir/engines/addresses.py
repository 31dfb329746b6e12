"""What a person writes to name a cluster, and what the program keeps of it."""

from __future__ import annotations

import binascii
import os
import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from sparse_ir.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

FLAVOURS = ("elasticsearch", "opensearch")
DEFAULT_URL = "http://localhost:9200"
# of opensearch-py and elasticsearch-py 7, not of HTTP: 9200 is what both servers listen on
_DEFAULT_PORTS = {"http": 9200, "https": 443}
_LABEL = r"[0-9A-Za-z_](?:[0-9A-Za-z_-]*[0-9A-Za-z_])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*\Z")
_PREFIX = re.compile(r"[0-9A-Za-z._~!$&'()*+;=:/%-]*\Z")


class ClusterAddress(NamedTuple):
    """Where a cluster is. Never holds a secret.

    Attributes:
        flavour: "elasticsearch" or "opensearch"; None to ask the server.
        urls: Its nodes as ``scheme://host:port/prefix``, without a slash at the end; at least one.
        cloud_id: Of an Elastic Cloud deployment, else None.
    """

    flavour: str | None
    urls: tuple[str, ...]
    cloud_id: str | None = None

    def __str__(self) -> str:
        """The address in the one form that parses back to itself."""
        if self.cloud_id is not None:
            return f"elasticsearch:cloud:{self.cloud_id}"
        nodes = ",".join(self.urls)
        return nodes if self.flavour is None else f"{self.flavour}:{nodes}"


def is_cluster(text: str) -> bool:
    """Whether an engine's address means a cluster: its first word tells."""
    return text.strip().partition(":")[0].lower() in (*FLAVOURS, "http", "https")


def parse_cluster_address(text: str, environ: Mapping[str, str] | None = None) -> ClusterAddress:
    """Read the address of a cluster.

    ``URL[,URL…]`` asks the server what it is; ``opensearch:URL[,URL…]``,
    ``elasticsearch:URL[,URL…]`` and ``elasticsearch:cloud:CLOUD_ID`` say it. A bare ``opensearch``
    or ``elasticsearch`` takes $SPARSE_IR_URL, or http://localhost:9200. A URL without a port means
    9200 with http and 443 with https.

    Args:
        text: As a person wrote it.
        environ: In place of the process's environment.

    Raises:
        ConfigError: it is none of these, or a URL holds credentials (which are not repeated).
    """
    text = text.strip()
    _refuse_secrets(text)
    word, _, rest = text.partition(":")
    flavour = word.lower()
    if flavour not in FLAVOURS:
        return ClusterAddress(None, _urls(text))
    if not rest:
        environ = os.environ if environ is None else environ
        found = environ.get("SPARSE_IR_URL", "").strip() or DEFAULT_URL
        return parse_cluster_address(merge(flavour, found))
    if rest.startswith("cloud:"):
        cloud_id = rest[len("cloud:") :]
        if flavour != "elasticsearch":
            raise ConfigError(f"{text!r}: a cloud id is Elastic's. Write elasticsearch:cloud:ID.")
        return ClusterAddress(flavour, (_cloud_url(cloud_id),), cloud_id)
    return ClusterAddress(flavour, _urls(rest))


def merge(engine: str | None, url: str | None) -> str:
    """What ``--engine`` and ``--url`` mean together, as one address.

    Args:
        engine: None where the person did not choose one: a URL alone is asked what it is.
        url: URLs, or ``cloud:CLOUD_ID``; None where there is none.

    Raises:
        ConfigError: they do not go together, or the URL is none.
    """
    if url is None:
        return engine or "embedded"
    url = url.strip()
    _refuse_secrets(url)
    word, _, rest = url.partition(":")
    named = word.lower() if word.lower() in FLAVOURS else None
    if engine is None:
        flavour = named
    elif engine.strip().lower() in FLAVOURS:
        flavour = engine.strip().lower()
    elif is_cluster(engine):
        raise ConfigError("the address is given twice. Leave --url out, or its copy in --engine.")
    else:
        raise ConfigError(
            f"--url goes with a cluster, and --engine is {in_message(engine)}. Write "
            "--engine opensearch, --engine elasticsearch, or no --engine."
        )
    if named is not None and named != flavour:
        raise ConfigError(f"--engine is {flavour} and --url says {named}. Leave one of them out.")
    nodes = rest if named else url
    if word.lower() == "cloud" and flavour is None:
        flavour = "elasticsearch"
    if not nodes:
        raise ConfigError("--url is empty. Write it as in --url http://localhost:9200.")
    return str(parse_cluster_address(f"{flavour}:{nodes}" if flavour else nodes))


def in_message(address: str) -> str:
    """An address as a message may repeat it: without what may be a password."""
    if "@" in address:
        return f"{address.partition(':')[0]!r} with an address that is not repeated here"
    return repr(address)


def _refuse_secrets(text: str) -> None:
    """Neither message repeats the text: it may hold a password."""
    if "@" in text:
        raise ConfigError(
            "a URL must not hold a user name or a password. Set SPARSE_IR_USERNAME and "
            "SPARSE_IR_PASSWORD, or write them to credentials.yaml, and take them out of the URL."
        )
    if "?" in text or "#" in text:
        raise ConfigError("a cluster's URL ends before any '?' or '#'. Leave that part out.")


def _urls(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_url(part.strip()) for part in text.split(",")))


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:  # a port out of range, an unclosed bracket
        host = port = None
        parts = None
    scheme = parts.scheme if parts else ""
    path = parts.path.rstrip("/") if parts else ""
    if not host or scheme not in _DEFAULT_PORTS or not _HOST.fullmatch(host) or port == 0:
        raise ConfigError(f"{text!r} is not a cluster's URL. Write it as in {DEFAULT_URL}.")
    if not _PREFIX.match(path):
        raise ConfigError(f"{text!r}: percent-encode the path of the URL.")
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}:{port or _DEFAULT_PORTS[scheme]}{path}"


def _cloud_url(cloud_id: str) -> str:
    """The endpoint in a cloud id: ``label:base64(domain[:port]$elasticsearch$…)``."""
    try:
        decoded = binascii.a2b_base64(cloud_id.rpartition(":")[2]).decode("ascii")
        domain, uuid = decoded.split("$")[:2]
        host, _, port = domain.partition(":")
        if not uuid or not host:
            raise ValueError("empty")
        return _url(f"https://{uuid}.{host}:{port or 443}")
    except (ValueError, ConfigError):
        raise ConfigError(
            f"{cloud_id!r} is not a cloud id. Copy it whole from the deployment's page."
        ) from None
