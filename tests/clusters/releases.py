"""Which servers there are, in which version, and what each of them needs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from clusters.failures import ClusterError


class Module(NamedTuple):
    """A server module that is published as plain jars.

    Attributes:
        artifact: Its name in Maven, in the group of the product's plugins.
        class_name: The class that the server loads.
        extends: The modules it extends, joined by commas.
    """

    artifact: str
    class_name: str
    extends: str = ""


@dataclass(frozen=True)
class Release:
    """One server in one version.

    Attributes:
        kind: How tests and the command line call it.
        product: ``opensearch`` or ``elasticsearch``.
        version: The version of the server.
        java: Lowest and highest major version of Java it runs on.
        digest: SHA-256 over the names and SHA-256s of all fetched jars. After a change of version
            ``python tests/clusters fetch KIND`` says the new one.
        archive_digest: SHA-256 of the zip that the server comes in, where it comes in one.
        port: The HTTP port of the first node, where the command line is given none.
        modules: Directory -> module, for those that have to be put together from jars.
    """

    kind: str
    product: str
    version: str
    java: tuple[int, int]
    digest: str
    port: int
    archive_digest: str = ""
    modules: dict[str, Module] = field(default_factory=dict)


LOG4J = "2.25.4"  # OpenSearch names log4j-core as optional, and does not start without
NEWEST = 99

RELEASES = {
    release.kind: release
    for release in (
        Release(
            "opensearch",
            "opensearch",
            "3.8.0",
            java=(21, NEWEST),
            digest="23448a7fa20b02ef2ffd01147fcefd85e897840879df5a106fd0ef661608d703",
            port=9210,
            modules={
                "transport-netty4": Module(
                    "transport-netty4-client", "transport.Netty4ModulePlugin"
                ),
                "mapper-extras": Module(
                    "mapper-extras-client", "index.mapper.MapperExtrasModulePlugin"
                ),
                "reindex": Module("reindex-client", "index.reindex.ReindexModulePlugin"),
                "lang-painless": Module("lang-painless", "painless.PainlessModulePlugin"),
                "analysis-common": Module(
                    "analysis-common", "analysis.common.CommonAnalysisModulePlugin", "lang-painless"
                ),
            },
        ),
        Release(
            "elasticsearch",
            "elasticsearch",
            "9.2.0",
            java=(21, NEWEST),
            digest="ca3b342c23500e4fbbd3ef9f01d74a0167137c319ea73e80139c888c2a7d5dea",
            port=9230,
            archive_digest="bf44938a0490ba2a303d39c9cb64b38963dd08c812ce93e10816e878585bcb6b",
        ),
        Release(
            "elasticsearch8",
            "elasticsearch",
            "8.19.4",
            java=(17, NEWEST),
            digest="ac41b50eb49079d584fdd95f29a4e13d861ad3a193263b53b444f94124445903",
            port=9240,
            archive_digest="553088b4c0f60f04d7c63da609aaeae372c483159f4fb8013599e91233aab0de",
        ),
        Release(
            "elasticsearch7",
            "elasticsearch",
            "7.17.29",
            java=(11, 23),
            digest="344c7a427e592a50e7dadeecd60d80c0a59915a03dbc91c1d29a2c3dc6d897ec",
            port=9250,
            archive_digest="841ee00be1a72ba8e707b5a2fb55f23fe7a4184369b4585393238b1c903eedaf",
            # Elasticsearch 8 and 9 publish no modules beyond those in their zip.
            modules={
                "mapper-extras": Module("mapper-extras-client", "index.mapper.MapperExtrasPlugin")
            },
        ),
    )
}


def release_of(kind: str) -> Release:
    """Look a server up.

    Raises:
        ClusterError: There is none of that name.
    """
    try:
        return RELEASES[kind]
    except KeyError:
        raise ClusterError(f"no server {kind!r}. There are: {', '.join(RELEASES)}.") from None
