"""Asks a server of ours over HTTP or HTTPS, with or without a password."""

from __future__ import annotations

import base64
import json
import ssl
import urllib.request
from typing import Any


def get(address: str, auth: str | None = None, timeout_seconds: float = 5) -> Any:
    """Get a JSON page from a server on loopback. No proxy is used, no certificate is checked.

    Args:
        address: The whole URL.
        auth: ``user:password``.
        timeout_seconds: For each step of the connection.

    Raises:
        OSError: No answer, or an error status.
        ValueError: The answer is no JSON.
    """
    trusting = ssl.create_default_context()
    trusting.check_hostname = False
    trusting.verify_mode = ssl.CERT_NONE
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trusting)
    )
    request = urllib.request.Request(address)
    if auth:
        request.add_header("Authorization", basic(auth))
    with opener.open(request, timeout=timeout_seconds) as answer:
        return json.load(answer)


def basic(auth: str) -> str:
    """The header ``Authorization`` for ``user:password``."""
    return f"Basic {base64.b64encode(auth.encode()).decode()}"
