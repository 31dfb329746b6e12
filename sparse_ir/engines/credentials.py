"""Keys, passwords and certificates: from the environment or a 0600 file, and nowhere else.

They are given to the client libraries and never printed, logged or stored.
"""

from __future__ import annotations

import base64
import functools
import ipaddress
import logging
import os
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

import certifi

from sparse_ir.engines.credentials_file import FILE, file_settings
from sparse_ir.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_log = logging.getLogger(__name__)

VARIABLES = {
    "api_key": "SPARSE_IR_API_KEY",
    "username": "SPARSE_IR_USERNAME",
    "password": "SPARSE_IR_PASSWORD",
    "bearer_token": "SPARSE_IR_BEARER_TOKEN",
    "aws_region": "SPARSE_IR_AWS_REGION",
    "aws_service": "SPARSE_IR_AWS_SERVICE",
    "ca_file": "SPARSE_IR_CA_FILE",
    "client_cert": "SPARSE_IR_CLIENT_CERT",
    "client_key": "SPARSE_IR_CLIENT_KEY",
    "verify_tls": "SPARSE_IR_VERIFY_TLS",
}
_KINDS = {
    "API key": ("api_key",),
    "user name and password": ("username", "password"),
    "bearer token": ("bearer_token",),
    "AWS signature": ("aws_region",),
}


class Credentials:
    """What a client shows to a server, and what it wants to see of it.

    Neither ``repr`` nor ``str`` tells a secret, and it cannot be pickled or copied into a file.

    Attributes:
        kind: "API key", "user name and password", "bearer token", "AWS signature" or None.
        aws_region: Of the signature, such as "eu-west-1", else None.
        aws_service: "es" for a domain, "aoss" for a serverless collection.
        client_cert: A PEM file, else None.
        verify_tls: Whether the server's certificate is checked.
    """

    __slots__ = (
        "_authorization",
        "_ca_file",
        "_client_key",
        "aws_region",
        "aws_service",
        "client_cert",
        "kind",
        "verify_tls",
    )

    def __init__(self, values: Mapping[str, str] | None = None) -> None:
        """Check what belongs together.

        Args:
            values: By the names in ``VARIABLES``, as text; empty ones count as not given.

        Raises:
            ConfigError: two kinds of credentials, half of one, or a value that cannot be right.
        """
        given = {name: value for name, value in (values or {}).items() if value}
        for name in ("ca_file", "client_cert", "client_key"):
            if name in given:
                given[name] = str(Path(given[name]).expanduser())
        self.kind = _kind(given)
        self._authorization = _authorization(self.kind, given)
        self.aws_region = given.get("aws_region")
        self.aws_service = given.get("aws_service", "es")
        if self.aws_service not in ("es", "aoss"):
            raise ConfigError("SPARSE_IR_AWS_SERVICE is 'es' (a domain) or 'aoss' (serverless).")
        self._ca_file = given.get("ca_file")
        self.client_cert = given.get("client_cert")
        self._client_key = given.get("client_key")
        if self._client_key and not self.client_cert:
            raise ConfigError("SPARSE_IR_CLIENT_KEY is set without SPARSE_IR_CLIENT_CERT.")
        self.verify_tls = _truth(given.get("verify_tls", "true"))

    def headers(self) -> dict[str, str]:
        """The header that goes with every request; empty for an AWS signature."""
        return {} if self._authorization is None else {"authorization": self._authorization}

    def settings(self) -> str:
        """Where a person finds what was wrong: the variables of this kind."""
        names = [VARIABLES[name] for name in _KINDS.get(self.kind or "", ())]
        if self.aws_region is not None:
            names.append("the AWS keys")
        return " and ".join(names) + f" (or {FILE})"

    def ssl_context(self) -> ssl.SSLContext:
        """The TLS settings, alike for every client library.

        With a CA file nothing else is trusted. Without one, what the system and the certifi package
        trust: Python sees no system store on some machines.

        Raises:
            ConfigError: a file is missing or is not what it should be.
        """
        context = _verifying(self._ca_file)
        if not self.verify_tls:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.client_cert:
            try:
                context.load_cert_chain(self.client_cert, self._client_key, _no_password)
            except OSError as error:  # ssl.SSLError is one
                raise ConfigError(
                    f"the client certificate {self.client_cert} cannot be used "
                    f"({_reason(error)}). SPARSE_IR_CLIENT_CERT and SPARSE_IR_CLIENT_KEY name "
                    "PEM files that belong together."
                ) from None
        return context

    def __repr__(self) -> str:
        tls = "" if self.verify_tls else ", TLS not verified"
        return f"Credentials({self.kind or 'none'}{tls})"

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        """Credentials stay in this process."""
        raise TypeError("credentials cannot be pickled or copied")


def load_credentials(urls: Sequence[str], environ: Mapping[str, str] | None = None) -> Credentials:
    """Find the credentials for a cluster.

    From the variables in ``VARIABLES``, and from credentials.yaml ($SPARSE_IR_CREDENTIALS, or below
    ``resources.home()``) where it has an entry for the cluster; a variable wins over the entry.

    Args:
        urls: The nodes, as in ``ClusterAddress.urls``: every one gets the same credentials.
        environ: In place of the process's environment.

    Raises:
        ConfigError: the file may not be trusted or read, or the settings contradict each other.
    """
    environ = os.environ if environ is None else environ
    settings = dict(file_settings(urls, VARIABLES, environ.get("SPARSE_IR_CREDENTIALS")))
    for name, variable in VARIABLES.items():
        if environ.get(variable):
            settings[name] = environ[variable]
    credentials = Credentials(settings)
    open_urls = [u for u in urls if u.startswith("http:") and not is_loopback(u)]
    if open_urls and credentials.kind is not None:
        _warn_once(f"{open_urls[0]}: credentials go over the network in the clear. Use https://.")
    if not credentials.verify_tls and any(u.startswith("https:") for u in urls):
        _warn_once(f"{urls[0]}: the server's certificate is not checked (SPARSE_IR_VERIFY_TLS).")
    return credentials


def is_loopback(url: str) -> bool:
    """Whether a URL leads to this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def far(url: str) -> bool:
    """Whether bodies are worth compressing: they are encrypted and leave this machine."""
    return url.startswith("https:") and not is_loopback(url)


@functools.cache
def _warn_once(message: str) -> None:
    _log.warning(message)


def _kind(given: Mapping[str, str]) -> str | None:
    kinds = [kind for kind, names in _KINDS.items() if any(name in given for name in names)]
    if len(kinds) > 1:
        raise ConfigError(
            f"{kinds[0]} and {kinds[1]} are both set (in the environment or {FILE}). Leave one."
        )
    for name in _KINDS[kinds[0]] if kinds else ():
        if name not in given:
            raise ConfigError(f"{VARIABLES[name]} is missing: it goes with the {kinds[0]}.")
    return kinds[0] if kinds else None


def _authorization(kind: str | None, given: Mapping[str, str]) -> str | None:
    """The header's value, made here: the clients differ in what they do beyond ASCII."""
    if kind == "user name and password":
        if ":" in given["username"]:
            raise ConfigError("SPARSE_IR_USERNAME holds a colon, which basic authentication lacks.")
        return "Basic " + _base64(f"{given['username']}:{given['password']}")
    if kind == "API key":
        key = _token(given["api_key"], "SPARSE_IR_API_KEY")
        return "ApiKey " + (_base64(key) if ":" in key else key)
    if kind == "bearer token":
        return "Bearer " + _token(given["bearer_token"], "SPARSE_IR_BEARER_TOKEN")
    return None


def _base64(text: str) -> str:
    return base64.b64encode(text.encode("utf-8", "surrogateescape")).decode("ascii")


def _token(value: str, name: str) -> str:
    value = value.strip()
    if not value or not all("!" <= c <= "~" for c in value):
        raise ConfigError(f"{name} holds a space or a character beyond ASCII. Copy it again.")
    return value


def _truth(text: str) -> bool:
    word = text.strip().lower()
    if word in ("true", "1", "yes", "on"):
        return True
    if word in ("false", "0", "no", "off"):
        return False
    raise ConfigError("SPARSE_IR_VERIFY_TLS is 'true' or 'false'.")


def _verifying(ca_file: str | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca_file)
        if ca_file is None:
            context.load_verify_locations(certifi.where())
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError(
            f"the CA file {ca_file} cannot be used ({_reason(error)}). SPARSE_IR_CA_FILE names a "
            "PEM file with the certificate of the authority."
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _no_password() -> NoReturn:
    """Called for an encrypted key only; without it OpenSSL would ask at the terminal."""
    raise ConfigError(
        "the client key is encrypted. Write it to a 0600 file without a password: openssl pkey."
    )


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "no PEM file").lower().replace("_", " ")
    return error.strerror or type(error).__name__
