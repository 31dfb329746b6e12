"""OpenSearch through opensearch-py, and AWS's signature.

The client's lowest layer is used, for the reasons in ``elasticsearch.py``.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from opensearchpy.connection import Urllib3HttpConnection
from opensearchpy.exceptions import ConnectionError as LostError

from sparse_ir.engines.legacy_nodes import LegacyNode, Quiet, connection_settings
from sparse_ir.engines.nodes import (
    CONNECTIONS_PER_NODE,
    DEFAULT_TIMEOUT,
    NodesTransport,
    tls_context,
)
from sparse_ir.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sparse_ir.engines.credentials import Credentials


def opensearch_transport(
    urls: Sequence[str], credentials: Credentials, *, timeout: float = DEFAULT_TIMEOUT
) -> NodesTransport:
    """Open a transport to OpenSearch.

    Args:
        urls: As in ``ClusterAddress.urls``.
        credentials: Sent with every request, or what signs it.
        timeout: Seconds of silence after which an answer is given up.

    Raises:
        MissingExtraError: AWS's signature is asked for and botocore is not installed.
        ConfigError: a certificate cannot be used, or there are no AWS keys.
    """
    context = tls_context(urls, credentials)
    sign = _signer(credentials) if credentials.aws_region else None
    nodes = [
        LegacyNode(
            url,
            _Connection(
                pool_maxsize=CONNECTIONS_PER_NODE,
                http_auth=sign,
                **connection_settings(url, credentials, context),
            ),
            LostError,
        )
        for url in urls
    ]
    return NodesTransport(nodes, credentials, timeout=timeout)


class _Connection(Quiet, Urllib3HttpConnection):
    """The client's connection, quiet."""


def _signer(credentials: Credentials) -> Callable[[str, str, bytes | None], dict[str, str]]:
    """What makes the headers of AWS Signature Version 4 for a request.

    The client's own signer rewrites the query string before it signs it (a space becomes "+"), so
    that the signature is not that of what is sent; this one signs the URL as it is.
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
    """
    try:
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.exceptions import BotoCoreError
        from botocore.session import Session
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "botocore":
            raise
        raise MissingExtraError("botocore", extra="aws") from None
    region, service = credentials.aws_region, credentials.aws_service
    try:
        keys = Session().get_credentials()
    except BotoCoreError as error:
        raise ConfigError(f"the AWS keys cannot be read: {type(error).__name__}.") from None
    if keys is None:
        raise ConfigError(
            "SPARSE_IR_AWS_REGION asks for AWS's signature, and there are no AWS keys. Set "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE."
        )

    def sign(method: str, url: str, body: bytes | None) -> dict[str, str]:
        request: Any = AWSRequest(method=method, url=url, data=body)
        digest = hashlib.sha256(body or b"").hexdigest()
        request.headers["X-Amz-Content-SHA256"] = digest
        # frozen: refreshed keys must not change between the key's id and its secret
        SigV4Auth(keys.get_frozen_credentials(), service, region).add_auth(request)
        return dict(request.headers.items())

    return sign
