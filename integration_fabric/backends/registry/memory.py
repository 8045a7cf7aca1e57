"""A schema registry in memory: for tests, and for a fabric that runs in one process."""

from __future__ import annotations

import json
from collections.abc import Sequence
from threading import Lock

from integration_fabric.messages.errors import Undecodable


class MemoryRegistry:
    """`governance.ports.SchemaRegistry` in memory. It accepts every schema."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._ids: dict[str, int] = {}
        self._schemas: dict[int, str] = {}
        self._subjects: dict[str, list[int]] = {}

    def register(self, subject: str, schema: str) -> int:
        """Add a version to a subject."""
        with self._lock:
            schema_id = self._ids.setdefault(_canonical(schema), len(self._ids) + 1)
            self._schemas.setdefault(schema_id, schema)
            versions = self._subjects.setdefault(subject, [])
            if schema_id not in versions:
                versions.append(schema_id)
            return schema_id

    def schema(self, schema_id: int) -> str:
        """The schema with an id."""
        with self._lock:
            if schema_id not in self._schemas:
                raise Undecodable(f"schema id {schema_id} is not at the registry")
            return self._schemas[schema_id]

    def id_of(self, subject: str, schema: str) -> int | None:
        """The id of a schema; None where the subject does not have it."""
        with self._lock:
            schema_id = self._ids.get(_canonical(schema))
            return schema_id if schema_id in self._subjects.get(subject, ()) else None

    def versions(self, subject: str) -> Sequence[int]:
        """Ids of the subject's versions, the oldest first."""
        with self._lock:
            return tuple(self._subjects.get(subject, ()))

    def subjects(self) -> Sequence[str]:
        """Every subject, sorted."""
        with self._lock:
            return sorted(self._subjects)


def _canonical(schema: str) -> str:
    return json.dumps(json.loads(schema), sort_keys=True)
