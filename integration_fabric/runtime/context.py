"""What a handler may know besides the message. Its needs are its own type; nothing is looked up by name."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Generic, TypeVar

from integration_fabric.messages.envelope import Envelope

N_co = TypeVar("N_co", covariant=True)


@dataclass(slots=True)
class Context(Generic[N_co]):
    """One delivery of one message. It is not to be changed; as for an envelope, the type checker sees to that.

    Args:
        envelope: The message with its headers.
        needs: What the handler may touch, as its own Protocol.
        attempt: Which attempt it is, from 1.
        now: When the attempt began, aware UTC.
        generation: Which effect it is of this message, from 0; a new one only once the previous is known to have had none.
    """

    envelope: Final[Envelope]
    needs: N_co
    attempt: Final[int]
    now: Final[datetime]
    generation: Final[int] = 0

    def key(self, *parts: str) -> str:
        """Make an idempotency key for one outside call: the same over retries, crashes and replays of one generation."""
        first = self.envelope.id if self.generation == 0 else f"{self.envelope.id}.{self.generation}"
        return ":".join((first, *parts))
