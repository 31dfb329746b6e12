"""Why no answer came, in one line: what happened, where, and what to do."""

from __future__ import annotations

import re
import ssl
from typing import TYPE_CHECKING

import urllib3.exceptions
from urllib3.util.ssl_match_hostname import CertificateError

from sparse_ir.engines.transport import ConnectionLostError
from sparse_ir.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparse_ir.engines.credentials import Credentials

# of OpenSSL's X509_V_ERR_*: the certificate is for another host name, e-mail or IP address
_OTHER_NAME = (62, 63, 64)
_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL")
_CLIENT_CERTIFICATE = (
    "ALERT_CERTIFICATE_REQUIRED",
    "ALERT_HANDSHAKE_FAILURE",
    "ALERT_BAD_CERTIFICATE",
    "ALERT_UNKNOWN_CA",
    "ALERT_CERTIFICATE_UNKNOWN",
    "ALERT_CERTIFICATE_EXPIRED",
    "ALERT_DECRYPT_ERROR",
)
_BROKEN_OFF = ("UNEXPECTED_EOF", "BAD_RECORD_MAC", "EOF_OCCURRED", "BAD_LENGTH")
_OBJECT = re.compile(r"<[^<>]* object at 0x[0-9a-f]+>:? ?|\w+\([^()]*\): ")


def refused(url: str, credentials: Credentials) -> EngineError:
    """The error for a 401."""
    if credentials.kind is None:
        return EngineError(
            f"{url} asks for credentials (401). Set SPARSE_IR_API_KEY, SPARSE_IR_USERNAME and "
            "SPARSE_IR_PASSWORD, or SPARSE_IR_BEARER_TOKEN."
        )
    return EngineError(
        f"{url} refused the {credentials.kind} (401). Check {credentials.settings()}."
    )


def explain(cause: BaseException, url: str, credentials: Credentials) -> EngineError:
    """The error for an answer that never came.

    Args:
        cause: What the client library met.
        url: The node.
        credentials: Decide what advice fits.

    Returns:
        ``ConnectionLostError`` where another try may help, a plain ``EngineError`` where none does.
    """
    chain = list(_chain(cause))
    for error in chain:
        if isinstance(error, (ssl.SSLCertVerificationError, CertificateError)):
            return _untrusted(error, url)
    for error in chain:
        if isinstance(error, ssl.SSLError):
            return _tls(error, url, credentials)
    return ConnectionLostError(f"{url}: {_plain(chain)}")


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The exception and every one it was made of, outermost first."""
    seen: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting:
        one = waiting.pop(0)
        if isinstance(one, BaseException) and one not in seen:
            seen.append(one)
            waiting += [*one.args, getattr(one, "reason", None), one.__cause__, one.__context__]
            yield one


def _untrusted(error: ssl.SSLCertVerificationError | CertificateError, url: str) -> EngineError:
    code = getattr(error, "verify_code", _OTHER_NAME[0])
    why = str(getattr(error, "verify_message", "") or error).rstrip(".")
    if code in _OTHER_NAME:
        return EngineError(
            f"{url}: the server's certificate is for another name ({why}). Write the name in the "
            "certificate into the URL."
        )
    return EngineError(
        f"{url}: the server's certificate is not trusted ({why}). Set SPARSE_IR_CA_FILE to the "
        "certificate (PEM) of the authority that signed it."
    )


def _tls(error: ssl.SSLError, url: str, credentials: Credentials) -> EngineError:
    reason = (error.reason or str(error)).upper().replace(" ", "_")
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)) or _in(reason, _BROKEN_OFF):
        return ConnectionLostError(
            f"{url}: the server broke the TLS connection off. If it stays so, it may want another "
            "client certificate: SPARSE_IR_CLIENT_CERT and SPARSE_IR_CLIENT_KEY."
        )
    if _in(reason, _NO_TLS):
        return EngineError(f"{url}: the server speaks no TLS. Write http:// instead of https://.")
    if _in(reason, _CLIENT_CERTIFICATE):
        what = (
            "refused the client certificate"
            if credentials.client_cert
            else "refused the TLS connection; it may ask for a client certificate"
        )
        return EngineError(
            f"{url}: the server {what} ({reason.lower()}). Check SPARSE_IR_CLIENT_CERT and "
            "SPARSE_IR_CLIENT_KEY."
        )
    return EngineError(f"{url}: TLS failed ({reason.lower()}). Check the server's TLS settings.")


def _in(reason: str, parts: tuple[str, ...]) -> bool:
    return any(part in reason for part in parts)


def _plain(chain: list[BaseException]) -> str:
    if any(isinstance(e, ConnectionRefusedError) for e in chain):
        return "the connection was refused. Is the server running there?"
    if any(isinstance(e, urllib3.exceptions.NameResolutionError) for e in chain):
        return "the host's name could not be resolved. Check the URL."
    if any(isinstance(e, (urllib3.exceptions.TimeoutError, TimeoutError)) for e in chain):
        return "the server did not answer in time."
    if any(isinstance(e, urllib3.exceptions.IncompleteRead) for e in chain):
        return "the answer was cut short."
    words = " ".join(_OBJECT.sub("", str(chain[-1])).split()) or type(chain[-1]).__name__
    return f"the connection was lost ({words[:200].rstrip('.')})."
