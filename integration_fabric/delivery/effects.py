"""Outside effects that happen once: intent, call, done, and what to do when nobody knows (protocol.md, C and D)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TypeVar, assert_never

from integration_fabric.delivery.deadline import sending_until
from integration_fabric.delivery.governor import Gate, NoGate
from integration_fabric.delivery.ports import DUPLICATE, Claim, EffectLog, EffectState, Fresh, Link, Open, Remembered
from integration_fabric.delivery.strategies import Strategy
from integration_fabric.messages.errors import (
    BadCredential,
    Conflict,
    DataProblem,
    FabricError,
    Fenced,
    MissingParent,
    Throttled,
    Transient,
    Unavailable,
    UnknownOutcome,
)
from integration_fabric.runtime.ports import Clock
from integration_fabric.runtime.subscriber import DONE_BEFORE, Delivery, Handled, OnceMore
from integration_fabric.telemetry.logs import LOG

T = TypeVar("T")

MARGIN = timedelta(seconds=1)
"""Between the last moment at which a call may be under way and its intent's deadline: the pauses of a busy event loop."""
VENDOR_MEMORY = timedelta(hours=20)
"""How long after its deadline a call is taken to be known to a vendor that dedupes: Stripe forgets keys after 24 hours or more."""
MAX_ROUNDS = 20
"""In which an action is carried out again and never answered, by a system that answers other calls: then a person decides (guarantee G6).
One round takes as long as an intent, 13 s or so. An action of ten calls to a system that answers one of twenty with 5xx fails in four
rounds of ten: with five rounds, one of a hundred such actions would have been given up."""
STORE_RETRY_S = 0.5
"""Between attempts to write what a call was answered; the store's absence is no failure of the message."""
_NOT_SENT = (Unavailable, Throttled, BadCredential, Transient, MissingParent)
"""The call had no effect, and the same effect may be tried again."""
_REFUSED = (DataProblem, Conflict)
"""The call had no effect, and a person or a later change must act first."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What an action made of a command."""

    handled: Handled
    refused: bool
    links: Sequence[Link] = ()


@dataclass(frozen=True, slots=True)
class Effect:
    """How one action is carried out, and how an unknown outcome of it is resolved."""

    strategy: Strategy
    send: Callable[[Delivery, int], Awaitable[Reply]]
    """Makes the call, with the effect's generation."""
    find: Callable[[Delivery, int], Awaitable[Reply | None]] | None
    """Reads back: the reply if it was carried out, None if not. Every strategy but upsert has one."""
    timeout: timedelta
    """Of one call, or one reading back."""
    settles_after: timedelta
    """How long after its last moment a call may still land at the vendor."""


def _effect_id(delivery: Delivery) -> str:
    """Names the effect in the log: the message, or the generation of it that a forced redelivery has opened."""
    return f"{delivery.envelope.id}#{delivery.forced}" if delivery.forced else delivery.envelope.id


class Once:
    """Carries out the effects of one subscriber once each."""

    def __init__(self, *, effect: Effect, log: EffectLog, clock: Clock, gate: Gate | None = None) -> None:
        self._effect, self._log, self._clock, self._gate = effect, log, clock, gate or NoGate()
        self._rounds: dict[str, tuple[int, int]] = {}
        """By message: how often it was sent again in vain, and how many calls the system had answered then."""

    async def run(self, delivery: Delivery) -> Handled:
        """Handle one command.

        Raises:
            UnknownOutcome: nobody knows, and the strategy has no way to find out.
            FabricError: as the action raised it; the call had no effect then.
        """
        if delivery.again is not None and (handled := await self._known(delivery, delivery.again)) is not None:
            return handled
        while (handled := await self._handle(delivery)) is None:
            pass
        return handled

    async def _known(self, delivery: Delivery, again: OnceMore) -> Handled | None:
        """What becomes of a redelivered command without its being carried out; None where it is to be.

        Raises:
            UnknownOutcome: it is to be carried out again, and nobody knows yet whether it was.
        """
        known = await self._log.look(delivery.fence, delivery.envelope.id, delivery.coordinates)
        if again.redelivery.force:
            if isinstance(known, Open):
                raise UnknownOutcome("nobody knows yet whether it was carried out, so it is not carried out again")
            return None if known is None or known.same_record else known.answer
        match known:
            case None:
                return DONE_BEFORE if again.is_forgotten else None
            case Remembered():
                return known.answer if known.same_record and known.redelivery == again.redelivery.number else DONE_BEFORE
            case Open():
                return None

    async def conclude(self, delivery: Delivery) -> Handled | None:
        """Find out what became of a command that is to be passed over: what has begun is not undone by saying so (protocol.md, F).

        Returns:
            What became of it; None where it had no effect, or where only a person can know.

        Raises:
            FabricError: it cannot be found out now.
        """
        began = await self._log.look(delivery.fence, delivery.envelope.id, delivery.coordinates)
        if began is None or not began.same_record:
            return None
        if isinstance(began, Remembered):
            return began.handled
        return None if self._effect.strategy is Strategy.UNSAFE else await self._conclude(delivery, began)

    async def _conclude(self, delivery: Delivery, began: Open) -> Handled | None:
        """Read back; what is set by external id is set again instead, and then it is applied."""
        await self._settled_down(delivery, began)
        async with self._turn(delivery):
            if self._effect.find is None:
                return await self._look_and_resend(delivery, began)
            found = await self._read_back(delivery, began.generation)
            if found is not None:
                return await self._settle(delivery, found)
            await self._withdraw(delivery)
            return None

    async def _handle(self, delivery: Delivery) -> Handled | None:
        """Claim it, and carry it out or find out what became of it; None where another record of it was on it: then look again."""
        effect = self._effect
        async with self._turn(delivery):
            began_s = self._clock.monotonic_s()
            claim: Claim = await self._log.claim(delivery.fence, _effect_id(delivery), delivery.coordinates, within=effect.timeout + MARGIN)
            match claim:
                case Remembered():
                    return claim.answer
                case Fresh(generation):
                    ended = await self._send(delivery, generation, began_s)
                    if isinstance(ended, Handled):
                        return ended
                    began = Open(generation, ended)
                case Open():
                    began = claim
                case _:
                    assert_never(claim)
        return await self._resolve(delivery, began)

    async def _send(self, delivery: Delivery, generation: int, began_s: float) -> Handled | timedelta:
        """Make the call if it ends before the intent's deadline, and write down how it ended.

        Returns:
            What became of it; where nobody knows, what is left of the deadline.
        """
        if self._clock.monotonic_s() - began_s > MARGIN.total_seconds():
            await self._withdraw(delivery)
            raise Unavailable("the store was too slow for the intent's deadline; nothing was sent")
        try:
            reply = await self._call(delivery, generation, began_s)
        except (*_NOT_SENT, *_REFUSED):
            await self._withdraw(delivery)
            raise
        except (UnknownOutcome, TimeoutError) as error:
            LOG.unknown_outcome(delivery.fence.subscriber, delivery.envelope, error, strategy=self._effect.strategy)
            return self._effect.timeout + MARGIN - timedelta(seconds=self._clock.monotonic_s() - began_s)
        return await self._settle(delivery, reply)

    async def _call(self, delivery: Delivery, generation: int, began_s: float) -> Reply:
        """Make the call. Where our own code fails, nobody knows what the call did: its intent is marked so."""
        until_s = began_s + (self._effect.timeout + MARGIN).total_seconds()
        try:
            with sending_until(self._clock, until_s):
                async with asyncio.timeout(self._effect.timeout.total_seconds()):
                    reply = await self._effect.send(delivery, delivery.forced or generation)
        except (*_NOT_SENT, *_REFUSED, UnknownOutcome, TimeoutError) as error:
            await self._gate.note(error)
            raise
        except Exception:
            await self._give_up(delivery)
            raise
        await self._gate.note(None)
        return reply

    async def _resolve(self, delivery: Delivery, began: Open) -> Handled | None:
        """Find out whether a call that may have been sent was carried out; send it again only where that is safe."""
        if self._effect.strategy is not Strategy.NATIVE_KEY:
            await self._settled_down(delivery, began)
        if self._effect.strategy is Strategy.UNSAFE:
            if await self._give_up(delivery, began.mark):
                raise UnknownOutcome("nobody knows whether it was carried out, and it is not sent again by itself: look into the system")
            return None
        async with self._turn(delivery):
            return await self._look_and_resend(delivery, began)

    def _turn(self, delivery: Delivery) -> AbstractAsyncContextManager[None]:
        """At the system; what is live goes first."""
        return self._gate.turn(delivery.pause, spare=delivery.again is not None)

    async def _settled_down(self, delivery: Delivery, began: Open) -> None:
        """Wait until a call that may have been sent can no longer land."""
        await delivery.pause(max(0.0, (began.remaining + self._effect.settles_after).total_seconds()), aside=True)

    async def _look_and_resend(self, delivery: Delivery, began: Open) -> Handled | None:
        effect, envelope = self._effect, delivery.envelope
        found = None
        forgotten = effect.strategy is Strategy.NATIVE_KEY and began.remaining < -VENDOR_MEMORY
        if effect.strategy is Strategy.LOOKUP_FIRST or forgotten:
            found = await self._read_back(delivery, began.generation)
            LOG.resolved(delivery.fence.subscriber, envelope, found=found is not None, strategy=effect.strategy)
        if found is not None:
            return await self._settle(delivery, found)
        began_s = self._clock.monotonic_s()
        if not await self._renew(delivery, began):
            return None
        if self._clock.monotonic_s() - began_s > MARGIN.total_seconds():
            raise Unavailable("the store was too slow for the intent's deadline; nothing was sent again")
        return await self._resend(delivery, began.generation, began_s)

    async def _resend(self, delivery: Delivery, generation: int, began_s: float) -> Handled:
        """As `_send`, after an unknown outcome: another one is for the lane to come back to."""
        try:
            reply = await self._call(delivery, generation, began_s)
        except (UnknownOutcome, TimeoutError) as error:
            LOG.unknown_outcome(delivery.fence.subscriber, delivery.envelope, error, strategy=self._effect.strategy)
            if self._is_hopeless(_effect_id(delivery)):
                await self._give_up(delivery)
                raise UnknownOutcome(f"sent {MAX_ROUNDS} times while the system answered others, and never answered: {error}") from error
            raise Unavailable(f"no answer again after {self._clock.monotonic_s() - began_s:.1f} s: {error}") from error
        return await self._settle(delivery, reply)

    def _is_hopeless(self, message_id: str) -> bool:
        """Whether one more round says that it is this call, not the system: each counts only if the system has answered since the last."""
        count, answered = self._rounds.get(message_id, (0, -1))
        if self._gate.answered == answered:
            return False
        count += 1
        self._rounds[message_id] = (count, self._gate.answered)
        if count < MAX_ROUNDS:
            return False
        del self._rounds[message_id]
        return True

    async def _read_back(self, delivery: Delivery, generation: int) -> Reply | None:
        assert self._effect.find is not None
        try:
            async with asyncio.timeout(self._effect.timeout.total_seconds()):
                found = await self._effect.find(delivery, delivery.forced or generation)
        except (TimeoutError, FabricError) as error:
            await self._gate.note(error)
            if isinstance(error, (TimeoutError, UnknownOutcome)):
                raise Unavailable(f"reading back did not answer: {error}") from error
            raise
        await self._gate.note(None)
        return found

    async def _settle(self, delivery: Delivery, reply: Reply) -> Handled:
        effect_id, fence, coordinates = _effect_id(delivery), delivery.fence, delivery.coordinates
        self._rounds.pop(effect_id, None)
        state = EffectState.REFUSED if reply.refused else EffectState.DONE
        number = delivery.again.redelivery.number if delivery.again is not None else None
        is_ours = await self._kept(
            delivery,
            lambda: self._log.settle(fence, effect_id, coordinates, reply.handled, state=state, links=reply.links, redelivery=number),
        )
        return reply.handled if is_ours else DUPLICATE

    async def _renew(self, delivery: Delivery, began: Open) -> bool:
        fence, effect_id, within = delivery.fence, _effect_id(delivery), self._effect.timeout + MARGIN
        renew = partial(self._log.renew, fence, effect_id, delivery.coordinates, within=within, generation=began.generation)
        return await self._kept(delivery, lambda: renew(mark=began.mark))

    async def _withdraw(self, delivery: Delivery) -> None:
        await self._kept(delivery, lambda: self._log.withdraw(delivery.fence, _effect_id(delivery), delivery.coordinates))

    async def _give_up(self, delivery: Delivery, mark: float | None = None) -> bool:
        return await self._kept(delivery, lambda: self._log.give_up(delivery.fence, _effect_id(delivery), delivery.coordinates, mark=mark))

    async def _kept(self, delivery: Delivery, write: Callable[[], Awaitable[T]]) -> T:
        """Write until the store takes it: what a call was answered must not be lost because the store is away."""
        while True:
            try:
                return await write()
            except Fenced:
                raise
            except FabricError as error:
                LOG.waiting(delivery.fence.subscriber, delivery.envelope, error, waits=1, delay_s=STORE_RETRY_S)
                await delivery.pause(STORE_RETRY_S)
