"""Declaring a subscriber: the annotation says what it reads, the decorator says how it is run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import UnionType
from typing import Any, Final, Generic, Protocol, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from integration_fabric.messages.base import Message
from integration_fabric.messages.envelope import Coordinates, Envelope
from integration_fabric.runtime.context import Context
from integration_fabric.runtime.outcomes import Applied, Filtered, Outcome, OutcomeKind, Superseded
from integration_fabric.runtime.policy import Policy
from integration_fabric.runtime.ports import Fence
from integration_fabric.runtime.records import Outgoing
from integration_fabric.runtime.redelivery import Redelivery

M = TypeVar("M", bound=Message)
N = TypeVar("N")
Handler = Callable[[M, Context[N]], Awaitable[Outcome]]


_APPLIED = OutcomeKind.APPLIED


@dataclass(slots=True)
class Handled:
    """What became of one message, with its outputs encoded. Not to be changed, as an envelope."""

    kind: Final[OutcomeKind]
    outputs: Final[tuple[Outgoing, ...]] = ()
    detail: Final[str] = ""
    output_types: Final[tuple[str, ...]] = ()


class Pause(Protocol):
    """Waits in a lane."""

    async def __call__(self, seconds: float, *, aside: bool = False) -> None:
        """Wait.

        Args:
            seconds: How long.
            aside: Whether another lane may run meanwhile in this one's place: not where more calls would go to a system that is away.

        Raises:
            Abandoned: the partition is handed over meanwhile.
        """
        ...


@dataclass(frozen=True, slots=True)
class OnceMore:
    """That a message comes once more, by a redelivery."""

    redelivery: Redelivery
    is_forgotten: bool
    """Whether it is so old that what became of it may be forgotten: that nothing is known of it says nothing then."""


@dataclass(slots=True)
class Delivery:
    """One attempt at one message. Not to be changed, as an envelope."""

    envelope: Final[Envelope]
    coordinates: Final[Coordinates]
    fence: Final[Fence]
    attempt: Final[int]
    now: Final[datetime]
    encode: Callable[[Envelope, Sequence[Any]], tuple[tuple[Outgoing, ...], tuple[str, ...]]]
    """Encodes what is emitted; raises ContractBroken."""
    pause: Pause
    again: Final[OnceMore | None] = None
    """Whether it is redelivered, beside the live position."""

    @property
    def forced(self) -> int:
        """The redelivery that has it handled whatever became of it before; 0 where there is none."""
        return self.again.redelivery.number if self.again is not None and self.again.redelivery.force else 0

    def settle(self, outcome: Outcome) -> Handled:
        """Turn a handler's outcome into what the runtime commits."""
        if isinstance(outcome, Applied):  # by far the most, and a `match` would take six times as long
            if not outcome.emit:
                return Handled(_APPLIED, (), outcome.detail)
            outputs, types = self.encode(self.envelope, outcome.emit)
            return Handled(_APPLIED, outputs, outcome.detail, types)
        match outcome:
            case Superseded(why):
                return Handled(OutcomeKind.SUPERSEDED, detail=why)
            case Filtered(why):
                return Handled(OutcomeKind.FILTERED, detail=why)


Run = Callable[[Delivery], Awaitable[Handled]]
DONE_BEFORE = Handled(OutcomeKind.DUPLICATE, detail="it was handled before; --force handles it again")
"""What becomes of a redelivered message that nothing is left to do for."""
Conclude = Callable[[Delivery], Awaitable[Handled | None]]


@dataclass(frozen=True, slots=True)
class Running:
    """A subscriber with its needs filled in: what the runtime runs."""

    name: str
    reads: tuple[type[Message], ...]
    policy: Policy
    run: Run
    conclude: Conclude | None = None
    """Finds out what became of a message that is to be passed over: None where it had no effect. None for a subscriber all of whose
    outcomes are Kafka's: what is not committed never was."""


@dataclass(frozen=True, slots=True)
class Subscriber(Generic[M, N]):
    """A declared subscriber. Calling it calls the handler, so a unit test needs nothing else."""

    name: str
    handler: Handler[M, N]
    reads: tuple[type[Message], ...]
    policy: Policy

    async def __call__(self, message: M, context: Context[N]) -> Outcome:
        """Run the handler."""
        return await self.handler(message, context)

    def bind(self, needs: N) -> Running:
        """Fill in the needs; the only cast of the runtime is here, guarded by `reads`."""

        async def run(delivery: Delivery) -> Handled:
            context = Context(delivery.envelope, needs, delivery.attempt, delivery.now, delivery.forced)
            return delivery.settle(await self.handler(cast("M", delivery.envelope.body), context))

        return Running(self.name, self.reads, self.policy, run)


def subscriber(name: str, *, in_flight: int = 16, destination: str | None = None) -> Callable[[Handler[M, N]], Subscriber[M, N]]:
    """Declare a subscriber.

    Args:
        name: Its consumer group, and its name everywhere else.
        in_flight: How many lanes run at once.
        destination: The system that it calls, if it calls one.

    Returns:
        A decorator for an async function (message, context) -> outcome. It raises TypeError at import where the first
        parameter's annotation is no message type.
    """

    def declare(handler: Handler[M, N]) -> Subscriber[M, N]:
        return Subscriber(name, handler, message_types(handler), Policy(in_flight=in_flight, destination=destination))

    return declare


def message_types(handler: Callable[..., Any]) -> tuple[type[Message], ...]:
    """The message types in the annotation of the first parameter; raises TypeError where it is something else."""
    hints = get_type_hints(handler)
    kinds = members(next(iter(hints.values())))
    if not all(isinstance(kind, type) and issubclass(kind, Message) for kind in kinds):
        raise TypeError(f"{handler.__name__}: the first parameter must be a message type, not {kinds}")
    return kinds


def returned_types(handler: Callable[..., Any]) -> set[type]:
    """The types in the return annotation."""
    return set(members(get_type_hints(handler)["return"]))


def members(annotation: Any) -> tuple[type, ...]:
    """A union's members, or the type itself."""
    return get_args(annotation) if get_origin(annotation) in {Union, UnionType} else (annotation,)
