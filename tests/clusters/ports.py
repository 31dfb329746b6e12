"""Free ports of the loopback address."""

from __future__ import annotations

import random
import socket

from clusters.configuration import Ports
from clusters.failures import ClusterError

# Below the range from which Linux takes the ports of outgoing connections: a node that is down
# finds its port free when it comes back.
LOWEST, HIGHEST = 15_000, 32_000


def choose(nodes: int, first: int = 0) -> list[Ports]:
    """Give ports to the nodes of a cluster.

    Args:
        nodes: How many.
        first: HTTP port of the first node; the others follow it, and 100 above each lies the one
            on which the nodes talk. 0 takes free ones.
    """
    if first:
        return [Ports(first + i, first + 100 + i) for i in range(nodes)]
    chosen: list[int] = []
    dice = random.SystemRandom()
    while len(chosen) < 2 * nodes:
        port = dice.randrange(LOWEST, HIGHEST)
        if port not in chosen and is_free(port):
            chosen.append(port)
    return [Ports(*chosen[i : i + 2]) for i in range(0, len(chosen), 2)]


def require_free(ports: Ports) -> None:
    """Raise where a port of a node is taken.

    Raises:
        ClusterError: Which one is.
    """
    for port in ports:
        if not is_free(port):
            raise ClusterError(f"port {port} is taken by another program.")


def is_free(port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
