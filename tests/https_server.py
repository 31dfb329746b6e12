"""An HTTPS server that checks every request, and may stand in front of a real search server."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, urlsplit

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

INFO = {"version": {"distribution": "opensearch", "number": "3.8.0"}}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    server: HttpsServer

    def do_GET(self):
        body = self.rfile.read(int(self.headers["content-length"] or 0))
        status = self.server.check(self, body)
        if status != 200:
            self.reply(status, json.dumps({"message": "refused"}).encode())
        elif self.server.backend is None:
            self.reply(200, json.dumps(INFO).encode())
        else:
            self.forward(body)

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815

    def forward(self, body):
        connection = http.client.HTTPConnection(urlsplit(self.server.backend).netloc)
        kept = ("content-type", "content-encoding", "accept")
        headers = {name: self.headers[name] for name in kept if name in self.headers}
        connection.request(self.command, self.path, body or None, headers)
        answer = connection.getresponse()
        self.reply(answer.status, answer.read(), answer.headers["content-type"])
        connection.close()

    def reply(self, status, body, kind="application/json"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class HttpsServer(ThreadingHTTPServer):
    """Answers ``INFO``, or what ``backend`` answers, to each request that passes.

    Args:
        context: The TLS settings; None for plain HTTP.
        check: From the request and its body to 200, or the status that refuses it.
        backend: The URL of the server behind.
    """

    daemon_threads = True

    def __init__(
        self,
        context: ssl.SSLContext | None,
        check: Callable[[BaseHTTPRequestHandler, bytes], int],
        backend: str | None = None,
    ) -> None:
        self.context, self.check, self.backend = context, check, backend
        super().__init__(("127.0.0.1", 0), _Handler)
        scheme = "http" if context is None else "https"
        self.url = f"{scheme}://localhost:{self.server_port}"

    def finish_request(self, request, client_address):
        if self.context is not None:
            request = self.context.wrap_socket(request, server_side=True)
        super().finish_request(request, client_address)
        if self.context is not None:
            request.close()

    def handle_error(self, request, client_address):
        pass


# AWS Signature Version 4, from https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
KEY_ID, SECRET, TOKEN = "AKIDEXAMPLE", "hunter2/secret+key", "session//token=="
REGION = "eu-west-1"


def encode(text):
    return quote(text, safe="-_.~")


def signature_is_right(request, body, service="es"):
    """Recompute the signature from what came over the wire."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    algorithm, _, rest = headers.get("authorization", "").partition(" ")
    parts = dict(part.strip().partition("=")[::2] for part in rest.split(","))
    digest = hashlib.sha256(body).hexdigest()
    signed = parts.get("SignedHeaders", "").split(";")
    needed = {"host", "x-amz-date", "x-amz-content-sha256", "x-amz-security-token"}
    if algorithm != "AWS4-HMAC-SHA256" or not needed <= set(signed):
        return False
    path, _, query = request.path.partition("?")
    pairs = parse_qsl(query.replace("+", "%2B"), keep_blank_values=True)
    canonical = "\n".join(
        [
            request.command,
            "/".join(encode(segment) for segment in path.split("/")),
            "&".join(sorted(f"{encode(n)}={encode(v)}" for n, v in pairs)),
            *(f"{name}:{' '.join(headers[name].split())}" for name in signed),
            "",
            ";".join(signed),
            digest,
        ]
    )
    date = headers["x-amz-date"]
    scope = f"{date[:8]}/{REGION}/{service}/aws4_request"
    text = "\n".join([algorithm, date, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{SECRET}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), "sha256").digest()
    return (
        parts["Credential"] == f"{KEY_ID}/{scope}"
        and headers["x-amz-security-token"] == TOKEN
        and headers["x-amz-content-sha256"] == digest
        and hmac.compare_digest(
            hmac.new(key, text.encode(), "sha256").hexdigest(), parts["Signature"]
        )
    )
