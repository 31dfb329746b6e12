"""What can go wrong, each in one line that a person can act on."""

from __future__ import annotations


class ClusterError(RuntimeError):
    """A server could not be fetched, started or reached; the message says which and why."""


class MissingError(ClusterError):
    """This machine lacks something: Maven, a Java, the network, Linux."""
