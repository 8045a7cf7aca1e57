"""Declaring what a connector does on a command: command in, one of its replies out, and how an unknown outcome is resolved."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, Generic, TypeVar, cast

from integration_fabric.delivery.effects import Effect, Once, Reply
from integration_fabric.delivery.governor import Gate
from integration_fabric.delivery.ports import EffectLog, Link
from integration_fabric.delivery.strategies import Strategy
from integration_fabric.messages.base import Command, Event
from integration_fabric.messages.ids import System
from integration_fabric.runtime.context import Context
from integration_fabric.runtime.outcomes import Applied, Emit, Filtered
from integration_fabric.runtime.policy import Policy
from integration_fabric.runtime.ports import Clock
from integration_fabric.runtime.subscriber import Delivery, Handled, Running, message_types, returned_types

C = TypeVar("C", bound=Command)
K = TypeVar("K")
A = TypeVar("A", bound=Event)
Call = Callable[[C, Context[K]], Awaitable[A]]
ReadBack = Callable[[C, Context[K]], Awaitable[A | None]]


class Action(Generic[C, K, A]):
    """A declared action; calling it makes the call, so that a unit test needs nothing else."""

    def __init__(self, call: Call[C, K, A], strategy: Strategy, policy: Policy, settles_after: timedelta) -> None:
        self.call, self.strategy, self.policy, self.settles_after = call, strategy, policy, settles_after
        self._command = command_of(call)
        self.find: ReadBack[C, K, A] | None = None

    @property
    def command(self) -> type[Command]:
        """What it carries out."""
        return self._command

    async def __call__(self, command: C, context: Context[K]) -> A:
        """Make the call."""
        return await self.call(command, context)

    def read_back(self, find: ReadBack[C, K, A]) -> ReadBack[C, K, A]:
        """Declare how an unknown outcome is resolved: the reply if it happened, None if it did not."""
        self.find = find
        return find

    def bind(self, system: System, client: K, *, effects: EffectLog, clock: Clock, gate: Gate | None = None) -> Running:
        """As a subscriber of the command's topic.

        Raises:
            TypeError: a strategy that needs `read_back` has none.
        """
        if self.find is None and self.strategy in {Strategy.NATIVE_KEY, Strategy.LOOKUP_FIRST}:
            raise TypeError(f"{self.command.__name__} of {system}: strategy {self.strategy} needs a read_back")
        policy = self.policy
        effect = Effect(
            strategy=self.strategy,
            send=self._sender(system, client),
            find=self._finder(system, client),
            timeout=policy.call_timeout,
            settles_after=self.settles_after,
        )
        once = Once(effect=effect, log=effects, clock=clock, gate=gate)

        async def run(delivery: Delivery) -> Handled:
            addressed = delivery.envelope.system
            if addressed is not None and addressed != system:
                return delivery.settle(Filtered(f"for {addressed}"))
            return await once.run(delivery)

        return Running(subscriber_name(system, self.command), (self.command,), policy, run, once.conclude)

    def _sender(self, system: System, client: K) -> Callable[[Delivery, int], Awaitable[Reply]]:
        async def send(delivery: Delivery, generation: int) -> Reply:
            reply = await self.call(cast("C", delivery.envelope.body), self._context(delivery, client, generation))
            return self._reply(delivery, system, reply)

        return send

    def _finder(self, system: System, client: K) -> Callable[[Delivery, int], Awaitable[Reply | None]] | None:
        read_back = self.find
        if read_back is None:
            return None

        async def find(delivery: Delivery, generation: int) -> Reply | None:
            reply = await read_back(cast("C", delivery.envelope.body), self._context(delivery, client, generation))
            return None if reply is None else self._reply(delivery, system, reply)

        return find

    @staticmethod
    def _context(delivery: Delivery, client: K, generation: int) -> Context[K]:
        return Context(delivery.envelope, client, delivery.attempt, delivery.now, generation)

    def _reply(self, delivery: Delivery, system: System, reply: Event) -> Reply:
        refused = isinstance(reply, self.command.replies.refused)
        detail = f"refused: {refusal(reply)}" if refused else ""
        handled = delivery.settle(Applied((Emit(reply, system=system),), detail))
        return Reply(handled, refused, links_of(reply, system))


def subscriber_name(system: System, command: type[Command]) -> str:
    """`tryton.create-order` for `erp.create-order.v1` on `tryton`."""
    return f"{system}.{command.topic.split('.')[1]}"


def refusal(reply: Event) -> str:
    """The codes of a refusing reply, for people."""
    problems: Any = getattr(reply, "problems", ())
    return ", ".join(dict.fromkeys(f"{problem.code} {problem.id}".strip() for problem in problems))


def links_of(event: Event, system: System) -> tuple[Link, ...]:
    """The cross-references that an event carries in the fields that its schema marks as native ids."""
    found = [
        Link(native.entity, str(getattr(event, native.canonical_field)), system, str(value))
        for native in event.native_ids
        if (value := getattr(event, native.native_field))
    ]
    return tuple(found)


def action(
    strategy: Strategy,
    *,
    in_flight: int = 16,
    timeout: timedelta = timedelta(seconds=10),
    settles_after: timedelta = timedelta(seconds=2),
) -> Callable[[Call[C, K, A]], Action[C, K, A]]:
    """Declare an action; the command is the first parameter's annotation, the replies are the return's.

    Args:
        strategy: What may be done once it is not known whether the call was carried out.
        in_flight: How many commands are carried out at once by one worker.
        timeout: Of one command, all its calls together.
        settles_after: How long after that a call may still land at the vendor.
    """

    def declare(call: Call[C, K, A]) -> Action[C, K, A]:
        return Action(call, strategy, Policy(in_flight=in_flight, call_timeout=timeout, destination="outside"), settles_after)

    return declare


def command_of(call: Callable[..., Awaitable[Event]]) -> type[Command]:
    """The command in the annotation; raises TypeError where the returned events are not its replies."""
    (command,) = message_types(call)
    if not issubclass(command, Command):
        raise TypeError(f"{call.__name__}: {command.__name__} is not a command")
    returned, allowed = returned_types(call), {command.replies.done, command.replies.refused}
    if not returned <= allowed:
        raise TypeError(f"{call.__name__} returns {returned - allowed}, which are no replies to {command.__name__}")
    return command
