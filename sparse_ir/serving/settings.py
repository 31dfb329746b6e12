"""What a server is told: which indexes, where it listens, whom it lets in, how much it takes."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from sparse_ir.errors import ConfigError
from sparse_ir.models.loading import MODEL
from sparse_ir.searching.fusion import parse_fusion

KEY_VARIABLE = "SPARSE_IR_SERVE_KEY"
"""The environment variable of the key. SPARSE_IR_API_KEY is a cluster's, which no client gets."""

_KEY = re.compile(r"[!-~]{16,512}\Z")
_HOST_NAME = re.compile(r"[^\s/:]+\Z")
_DEEPEST = 1000  # hits of each side of a hybrid search


@dataclass(frozen=True)
class ServeSettings:
    """How indexes are served.

    Attributes:
        index: Which, each a name, or name@engine for one elsewhere; the first is the default.
        engine: Where those are that name no engine, as ``open_engine`` takes it.
        host: The address to listen on.
        port: The port; 0 takes a free one.
        key: What clients must send; empty for none.
        no_key: Whether an address beyond this machine may go without a key.
        allowed_hosts: More names that requests without a key may call this server by.
        query_encoder: As ``SearchSettings`` has it.
        hybrid: How searches that do not say so themselves are fused, as ``SearchSettings`` has it.
        words_index: Indexes of words, each the name of one for the first index, or
            "INDEX=WORDS" for another; each on the engine of its index.
        dense: What encodes queries for dense vectors; None for what made the index's.
        mask: A file of terms that are never searched by, as ``SearchSettings`` has it.
        max_concurrent: Requests worked on or waiting, at most; others are refused.
        max_connections: Open connections, at most.
        max_batch: Queries weighed or searched together, at most; 1 turns batching off.
        timeout: Seconds for a request, from its last byte to its answer's first.
        read_timeout: Seconds for a client to send a request.
        write_timeout: Seconds for a client to take 64 kB of an answer.
        max_query_chars: Characters of a query or a text, at most.
        max_k: Hits per query, at most.
        max_offset: Hits passed over, at most.
    """

    index: tuple[str, ...] = ("default",)
    engine: str = "embedded"
    host: str = "127.0.0.1"
    port: int = 8080
    key: str = ""
    no_key: bool = False
    allowed_hosts: tuple[str, ...] = ()
    query_encoder: str = MODEL
    hybrid: str = ""
    words_index: tuple[str, ...] = ()
    dense: str | None = None
    mask: str = ""
    max_concurrent: int = 64
    max_connections: int = 512
    max_batch: int = 32
    timeout: float = 30.0
    read_timeout: float = 10.0
    write_timeout: float = 30.0
    max_query_chars: int = 10_000
    max_k: int = 100
    max_offset: int = 10_000

    def __post_init__(self) -> None:
        if not self.index:
            raise ConfigError("serve needs an index. Write it as in --index docs.")
        twice = next((name for name in self.index if self.index.count(name) > 1), None)
        if twice is not None:
            raise ConfigError(f"index {twice!r} is given twice. Leave one out.")
        _ = self.words
        require_shallow(self.hybrid)
        for name in self.allowed_hosts:
            if not _HOST_NAME.match(name) and not is_address(name):
                raise ConfigError(
                    f"--allowed-host {name!r} is no name of a host, and no request would bear it. "
                    "Write it without scheme, port and path, as in search.example."
                )
        if self.key:
            require_key(self.key, "the key")
        elif not self.no_key and not is_loopback(self.host):
            raise ConfigError(
                f"{self.host} can be reached from other machines. Give a key ({KEY_VARIABLE} or "
                "--api-key-file), listen on 127.0.0.1, or say --no-key if anyone may search."
            )

    @property
    def words(self) -> dict[str, str]:
        """The index of words of each index that has one.

        Raises:
            ConfigError: one is for an index that is not served, or an index has two.
        """
        found: dict[str, str] = {}
        for text in self.words_index:
            label, _, name = text.rpartition("=")
            label = label or self.index[0]
            if label not in self.index:
                raise ConfigError(
                    f"--words-index {text}: index {label!r} is not served. Serve it with --index."
                )
            if label in found:
                raise ConfigError(f"--words-index: index {label!r} has two. Leave one out.")
            found[label] = name
        return found

    @property
    def max_url_bytes(self) -> int:
        """What a URL may hold: two texts, each character 12 bytes at most, and the rest."""
        return 8192 + 24 * self.max_query_chars

    @property
    def max_head_bytes(self) -> int:
        """What a URL and the headers of a request may hold together."""
        return self.max_url_bytes + 16_384


def require_key(key: str, where: str) -> str:
    """Return the key if it is one that can be sent and not be guessed.

    Raises:
        ConfigError: it is not; the message does not repeat it.
    """
    if not _KEY.match(key):
        raise ConfigError(
            f"{where} must have 16 to 512 characters, ASCII and no blanks. Make one: "
            "python -c 'import secrets; print(secrets.token_urlsafe(32))'"
        )
    return key


def require_shallow(hybrid: str) -> None:
    """Refuse a fusion of more hits than a server fuses.

    Raises:
        ConfigError: it goes deeper, or ``parse_fusion`` does not take it.
    """
    fusion = parse_fusion(hybrid)
    if fusion is not None and fusion.depth > _DEEPEST:
        raise ConfigError(
            f"--hybrid: depth is {fusion.depth}. At most {_DEEPEST} hits of a side are fused by a "
            "server."
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    if host.lower() == "localhost":
        return True
    return is_address(host) and ipaddress.ip_address(host.strip("[]")).is_loopback


def is_address(host: str) -> bool:
    """Whether a host is an IP address rather than a name."""
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True
