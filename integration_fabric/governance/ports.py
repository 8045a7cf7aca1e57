"""What governance needs from outside: a registry of schemas.

`backends.registry` implements it; the codec, `fabric schemas` and reviews use it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from integration_fabric.messages.base import Message


class SchemaRegistry(Protocol):
    """Which schemas each subject had, and the id of each. Synchronous, callable from any thread, bounded in time.

    A subject is `<topic>-value`. An id stands for one schema, whichever subjects have it. Every method raises Unavailable where the
    registry does not answer, and BadCredential where it does not accept ours.
    """

    def register(self, subject: str, schema: str) -> int:
        """Add a version to a subject. Idempotent: the same schema has the same id, and is one version.

        Args:
            subject: `<topic>-value`.
            schema: Avro schema as JSON.

        Returns:
            Its id.

        Raises:
            ContractBroken: The registry refuses it, e.g. as incompatible with an earlier version.
        """
        ...

    def schema(self, schema_id: int) -> str:
        """The schema with an id, as JSON. Raises Undecodable where the registry does not know it."""
        ...

    def id_of(self, subject: str, schema: str) -> int | None:
        """The id of a schema; None where the subject does not have it."""
        ...

    def versions(self, subject: str) -> Sequence[int]:
        """Ids of the subject's versions, the oldest first; empty for a subject that is not there."""
        ...

    def subjects(self) -> Sequence[str]:
        """Every subject, sorted."""
        ...


def subject_of(kind: type[Message]) -> str:
    """The subject of a message type."""
    return f"{kind.topic}-value"
