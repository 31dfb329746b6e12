"""Builds of an index in a search server: made aside, counted, brought into sight by an alias.

``NAME@STAMP`` is one build, the alias ``NAME`` stands for one of them. What a build says about
itself lies in its mapping's ``_meta.sparse_ir``.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import secrets
import zlib
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from sparse_ir.engines.base import INDEX_NAME, require_index_name
from sparse_ir.engines.builds import not_found, require_build_of, require_vocabulary
from sparse_ir.engines.connection import ServerError
from sparse_ir.engines.dense_fields import add_dense
from sparse_ir.engines.fields import SEISMIC, SPARSE_VECTOR, VECTOR, require_seismic
from sparse_ir.engines.stamp import Stamp, read_stamp
from sparse_ir.errors import ConfigError, EngineError, IndexNotFoundError
from sparse_ir.resources import resource

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparse_ir.engines.connecting import Server
    from sparse_ir.engines.connection import Connection
    from sparse_ir.engines.fields import Choice
    from sparse_ir.engines.options import ClusterOptions
    from sparse_ir.engines.stamp import DenseSpace

META = "sparse_ir"
_PHYSICAL = re.compile(r"^([^@]+)@([0-9a-z][0-9a-z-]*)\Z")
_LOADING = {"index": {"refresh_interval": "-1", "number_of_replicas": 0}}


class Facts(NamedTuple):
    """What a build says about itself.

    Attributes:
        physical: Its name on the server.
        stamp: Which model made it.
        field: The field type of its vectors.
        vectors: Whether it keeps vectors beside its postings.
        serving: The settings it has when it is not loading.
        previous: The build that it took the place of; empty for none.
        whole: Whether everything is in.
        packed_vocabulary: Where the field holds token ids, the terms they stand for, packed.
    """

    physical: str
    stamp: Stamp
    field: str
    vectors: bool
    serving: dict[str, Any]
    previous: str
    packed_vocabulary: str = ""
    whole: bool = False

    def vocabulary(self) -> list[str]:
        """The terms behind the token ids; empty where the field holds the terms themselves."""
        if not self.packed_vocabulary:
            return []
        terms: list[str] = json.loads(zlib.decompress(base64.b64decode(self.packed_vocabulary)))
        return terms

    def to_meta(self) -> dict[str, Any]:
        """As the value of ``_meta``."""
        own = self._asdict() | {"stamp": self.stamp.to_json()}
        own.pop("physical")
        return {META: own}


class Lifecycle:
    """All builds in one cluster."""

    def __init__(self, connection: Connection) -> None:
        """Nothing is sent until something is asked."""
        self._connection = connection

    def create(
        self,
        index: str,
        stamp: Stamp,
        vocabulary: Sequence[str],
        *,
        choice: Choice,
        options: ClusterOptions,
        server: Server,
    ) -> Facts:
        """Create the physical index, ready for loading.

        Args:
            index: The name it will be published under.
            stamp: What it will say about itself.
            vocabulary: Every term a vector may hold.
            choice: The field type and its mapping.
            options: Shards, replicas, and whether vectors are kept.
            server: Its version decides which settings it knows.

        Raises:
            ConfigError: the name is not allowed, or is that of an index that is no alias.
        """
        require_index_name(index)
        require_vocabulary(stamp, vocabulary)
        self._require_free(index)
        now = datetime.now(timezone.utc).strftime("%Y%m%dt%H%M%S%fz")
        physical = f"{index}@{now}-{secrets.token_hex(3)}"
        body = index_body(choice, options, server, stamp.dense)
        serving = {
            name: body["settings"]["index"][name]
            for name in ("number_of_replicas", "refresh_interval")
        }
        facts = Facts(physical, stamp, choice.field, options.keep_vectors, serving, "")
        if choice.field == SEISMIC:
            require_seismic(len(vocabulary))
            packed = zlib.compress(json.dumps(list(vocabulary)).encode())
            facts = facts._replace(
                vectors=False, packed_vocabulary=base64.b64encode(packed).decode()
            )
        self._make(physical, body)
        self.restamp(facts)
        return facts

    def require_plugin(self, field: str) -> None:
        """Refuse a field type whose plugin is not installed.

        Raises:
            ConfigError: no node has the neural-search plugin.
        """
        if not self._has_plugin("neural-search"):
            raise ConfigError(
                f"--field {field} needs OpenSearch's neural-search plugin, which "
                f"{self._connection.address} does not have. Install it, or use --field "
                "rank_features: its scores are the same."
            )

    def require_knn(self) -> None:
        """Refuse dense vectors where the plugin that searches them is not installed.

        Raises:
            ConfigError: no node has the k-NN plugin.
        """
        if not self._has_plugin("opensearch-knn"):
            raise ConfigError(
                f"--dense needs OpenSearch's k-NN plugin, which {self._connection.address} does "
                "not have. Install it, index without --dense, or use another engine."
            )

    def load(self, physical: str) -> None:
        """Set a build up for loading: no refreshes, no replicas."""
        self._connection.call("PUT", path(physical, "_settings"), _LOADING)

    def serve(self, facts: Facts) -> None:
        """Set a build up for searching again."""
        self._connection.call("PUT", path(facts.physical, "_settings"), {"index": facts.serving})

    def settle(self, facts: Facts) -> Facts:
        """Write down that everything is in."""
        if not facts.whole:
            facts = facts._replace(whole=True)
            self.restamp(facts)
        return facts

    def restamp(self, facts: Facts) -> None:
        """Write down what a build says about itself, in the place of what it said."""
        meta = {"_meta": facts.to_meta()}
        self._connection.call("PUT", path(facts.physical, "_mapping"), meta)

    def publish(self, index: str, facts: Facts) -> str:
        """Move the alias in one call; readers see the old build or the new one, never none.

        Returns:
            The build it stood for before; empty for none.
        """
        require_build_of(index, facts.physical)
        before = self.targets(index)
        if before == [facts.physical]:
            return ""
        others = [old for old in before if old != facts.physical]
        previous = others[0] if others else facts.previous
        facts = facts._replace(previous=previous)
        self.restamp(facts)
        moves = [{"remove": {"index": old, "alias": index}} for old in others]
        moves.append({"add": {"index": facts.physical, "alias": index}})
        try:
            self._connection.call("POST", "/_aliases", {"actions": moves})
        except EngineError:
            # sent again because the answer was lost, it finds the old alias gone: that is done
            if self.targets(index) != [facts.physical]:
                raise
        return others[0] if others else ""

    def facts(self, physical: str) -> Facts:
        """Read what a build says about itself.

        Raises:
            IndexNotFoundError: there is no such build.
            EngineError: it was not made by sparse-ir.
        """
        answer = self._connection.call("GET", path(physical, "_mapping"))
        mapping = next(iter(answer.values()))["mappings"]
        meta = mapping.get("_meta", {}).get(META)
        if not isinstance(meta, dict) or not isinstance(meta.get("stamp"), dict):
            raise EngineError(
                f"index {physical!r} of {self._connection.address} was not made by sparse-ir. "
                "Audit it with: sparse-ir verify --existing"
            )
        return Facts(
            physical,
            read_stamp(meta["stamp"], index=physical),
            meta["field"],
            bool(meta.get("vectors")),
            dict(meta.get("serving", {})),
            meta.get("previous", ""),
            meta.get("packed_vocabulary", ""),
            bool(meta.get("whole")),
        )

    def targets(self, index: str) -> list[str]:
        """The builds that an alias stands for: one, or none."""
        if not INDEX_NAME.match(index):
            return []
        try:
            answer = self._connection.call("GET", f"/_alias/{quote(index, safe='')}")
        except (IndexNotFoundError, ServerError) as error:
            if isinstance(error, ServerError) and error.status != 404:
                raise
            return []
        return sorted(name for name in answer if name_of(name) == index)

    def resolve(self, index: str) -> str:
        """The physical name that a name stands for.

        Raises:
            IndexNotFoundError: there is no such index.
        """
        if _PHYSICAL.match(index):
            if INDEX_NAME.match(name_of(index)) and self._connection.exists(path(index)):
                return index
            raise IndexNotFoundError(f"there is no build {index!r} in {self._connection.address}.")
        found = self.targets(index)
        if len(found) == 1:
            return found[0]
        if found:
            raise EngineError(
                f"the alias {index!r} stands for {len(found)} indexes ({', '.join(found)}). Let it "
                "stand for one: sparse-ir swap"
            )
        raise IndexNotFoundError(
            not_found(
                index,
                str(self._connection.address),
                known=self.names(),
                builds=self.builds(index),
            )
        )

    def names(self) -> list[str]:
        """The published indexes, ascending."""
        answer = self._connection.call("GET", "/*@*/_alias")
        return sorted(
            {
                name_of(physical)
                for physical, found in answer.items()
                if _PHYSICAL.match(physical) and name_of(physical) in found.get("aliases", {})
            }
        )

    def builds(self, index: str) -> list[str]:
        """Every build of a name, oldest first."""
        if not INDEX_NAME.match(index):
            return []
        answer = self._connection.call("GET", f"/{quote(index, safe='')}@*/_alias")
        return sorted(physical for physical in answer if name_of(physical) == index)

    def drop(self, physical: str) -> None:
        """Delete a build; one that is gone already is deleted."""
        with contextlib.suppress(IndexNotFoundError):
            self._connection.call("DELETE", path(physical))

    def _has_plugin(self, name: str) -> bool:
        found = self._connection.call("GET", "/_cat/plugins", params={"format": "json"})
        return any(name in row.get("component", "") for row in found)

    def _make(self, physical: str, body: dict[str, Any]) -> None:
        try:
            self._connection.call("PUT", path(physical), body)
        except ServerError as error:
            # nobody else has this name: it was made by a request whose answer was lost
            if error.kind != "resource_already_exists_exception":
                raise

    def _require_free(self, index: str) -> None:
        if not self.targets(index) and self._connection.exists(path(index)):
            raise ConfigError(
                f"{self._connection.address} has an index {index!r} that sparse-ir did not make. "
                "Use another --index name."
            )


def index_body(
    choice: Choice, options: ClusterOptions, server: Server, space: DenseSpace | None = None
) -> dict[str, Any]:
    """The body that creates an index: the files in ``mappings/`` with what was asked for."""
    body: dict[str, Any] = json.loads(resource("mappings", choice.mapping).read_text("utf-8"))
    settings = body["settings"]["index"]
    if options.shards is not None:
        settings["number_of_shards"] = options.shards
    if options.replicas is not None:
        settings["number_of_replicas"] = options.replicas
    if space is not None:
        add_dense(body, choice.flavour, space)
    if options.keep_vectors:
        body["mappings"].pop("_source")
        left_out = choice.field == SPARSE_VECTOR or space is not None
        if left_out and choice.flavour == "elasticsearch" and server.version >= (9, 2):
            settings["mapping.exclude_source_vectors"] = False
    if not knows_pruning(server.version):
        body["mappings"]["properties"][VECTOR].pop("index_options", None)
    return body


def knows_pruning(version: tuple[int, ...]) -> bool:
    """Whether an Elasticsearch prunes queries of ``sparse_vector`` unless told not to."""
    return version[:2] >= (9, 1) or (8, 19) <= version[:2] < (9, 0)


def name_of(physical: str) -> str:
    """The index that a build belongs to."""
    return physical.partition("@")[0]


def path(index: str, *rest: str) -> str:
    """The path of an index on the server."""
    return "/".join(["", quote(index, safe="@"), *rest])
