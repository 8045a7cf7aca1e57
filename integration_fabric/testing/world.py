"""Scenarios: a world of systems and a fabric that keeps them in step, in memory or on real Kafka by one flag.

A test approves quotes, breaks things and asks what the systems hold; `settle` waits until nothing moves, so that "nothing happened" can be
asserted. The systems are real ones or simulators in a process of their own, and are shared by the tests of a run: no fixed ids.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from uuid import uuid4

from integration_fabric.apps.gateway.app import application
from integration_fabric.apps.serving import listen, serving
from integration_fabric.connector_kit.polling import Poller
from integration_fabric.messages.base import Message
from integration_fabric.messages.envelope import Envelope
from integration_fabric.messages.errors import FabricError
from integration_fabric.messages.fabric import ProcessState
from integration_fabric.messages.ids import InvoiceId, MessageId
from integration_fabric.operations.conservation import Balance
from integration_fabric.process_engine.ports import InstanceRow
from integration_fabric.process_engine.timers import TimerPoller
from integration_fabric.roles.erp import PostedInvoice
from integration_fabric.runtime.consumer import SubscriberLoop
from integration_fabric.runtime.lag import LoopState
from integration_fabric.runtime.ports import Commit, Snapshot
from integration_fabric.runtime.records import Outgoing, Record
from integration_fabric.runtime.steersman import Steersman
from integration_fabric.testing.clock import ForwardClock
from integration_fabric.wiring.drivers import Drivers, Footprint, Money
from integration_fabric.wiring.fabric import Fabric
from integration_fabric.wiring.gateway import ways_in
from integration_fabric.wiring.operations import balances
from integration_fabric.wiring.samples import SampleQuote, TaxCode, sample_quote, unused_tax_code

SETTLE_WITHIN = timedelta(seconds=60)
LOOK_EVERY_S = 0.02
WORKER = "world"


class Unsettled(AssertionError):
    """Something still moves after the time that `settle` allows; the message says what."""


@dataclass(frozen=True, slots=True)
class Held:
    """A process that waits for data."""

    step: str
    code: str


@dataclass(frozen=True, slots=True)
class ApprovedQuote:
    """A quote that a test approved."""

    id: str
    world: World
    payer: str
    """The customer who pays."""

    async def instance(self) -> InstanceRow | None:
        """Its quote-to-activation instance."""
        found = await self.world.fabric.stores.instances.find(process="quote-to-activation", key=self.id)
        return next((row for row in found if row.instance.key == self.id), None)

    async def state(self) -> ProcessState | None:
        """Where its process stands; None where none began."""
        row = await self.instance()
        return row.instance.state if row else None

    async def held(self) -> Held | None:
        """What it waits for, if it is held: the first problem of the first held step."""
        row = await self.instance()
        steps = [step for step in row.instance.open_steps() if step.problems] if row else []
        return Held(steps[0].name, steps[0].problems[0].code) if steps else None

    async def footprint(self) -> Footprint:
        """What the systems hold of it."""
        return (await self.world.drivers.footprints([self.id]))[self.id]

    async def footprint_but(self, role: str) -> Footprint:
        """What the systems hold of it, without asking the one that is off."""
        return (await self.world.drivers.footprints([self.id], but=role))[self.id]

    async def ended_orders(self) -> int:
        """How many orders of it were taken back."""
        return await self.world.drivers.ended_orders(self.id)

    async def late_steps(self) -> list[str]:
        """The open steps whose answer did not come by their deadline."""
        row = await self.instance()
        return [step.name for step in row.instance.open_steps() if step.late] if row else []

    async def money(self) -> Money:
        """What billing has charged for it, beside what stands in the ERP's books."""
        return (await self.world.drivers.money([self.id]))[self.id]

    async def next_invoice(self) -> BilledAgain:
        """Billing issues the next invoice of its subscription."""
        return BilledAgain(await self.world.drivers.bill_again(self.id), self)


@dataclass(frozen=True, slots=True)
class BilledAgain:
    """An invoice that billing has issued and not collected yet."""

    id: str
    quote: ApprovedQuote

    async def collect(self, *, card_works: bool = True) -> bool:
        """Billing charges the payer's card; False where it is declined."""
        drivers = self.quote.world.drivers
        await drivers.card(self.quote.payer, works=card_works)
        return await drivers.collect(self.id)

    async def posted(self) -> Sequence[PostedInvoice]:
        """What stands in the ERP's books of it."""
        return (await self.quote.world.drivers.posted([InvoiceId(self.id)]))[InvoiceId(self.id)]

    async def interventions(self) -> Sequence[str]:
        """`open` or `closed` for each intervention about it."""
        return (await self.quote.world.drivers.interventions([self.id]))[self.id]

    async def process(self, name: str) -> InstanceRow | None:
        """The instance of a process that is about it."""
        found = await self.quote.world.fabric.stores.instances.find(process=name, key=self.id)
        return found[0] if found else None


@dataclass(slots=True)
class Cpq:
    """Where quotes are made."""

    world: World

    async def approve_quote(
        self, *, tax_code: str | None = None, recurring: int = 1, one_off: int = 0, payer: str | None = None
    ) -> ApprovedQuote:
        """Write and approve a quote.

        Args:
            tax_code: Of all its lines; by default one that the ERP knows.
            recurring: How many recurring lines.
            one_off: How many one-off lines.
            payer: The customer who pays; by default the one who buys.
        """
        quote: SampleQuote = sample_quote(tax_code=tax_code, recurring=recurring, one_off=one_off, payer=payer)
        await self.world.drivers.add_payer(quote.bill_to)
        await self.world.drivers.approve(quote)
        return ApprovedQuote(quote.quote_id, self.world, quote.bill_to)


@dataclass(slots=True)
class Erp:
    """Where master data is kept."""

    world: World
    _codes: dict[str, TaxCode] = field(default_factory=dict)

    def unused_tax_code(self) -> str:
        """One that this ERP does not know and that no other test uses: real systems are shared."""
        tax = unused_tax_code(uuid4().hex[:8].upper())
        self._codes[tax.code] = tax
        return tax.code

    async def add_tax_code(self, code: str) -> None:
        """The ERP knows it from now on."""
        await self.world.drivers.add_tax_code(self._codes[code])

    async def close_period(self, legal_entity: str, day: date) -> None:
        """Nothing more can be posted in the period of this day."""
        await self.world.drivers.erp.close_period(legal_entity, day)

    async def open_period(self, legal_entity: str, day: date) -> None:
        """Take the period of this day into use again."""
        await self.world.drivers.erp.open_period(legal_entity, day)


@dataclass(slots=True)
class World:
    """Systems, and the fabric between them."""

    fabric: Fabric
    drivers: Drivers
    clock: ForwardClock
    loops: list[SubscriberLoop] = field(default_factory=list)
    pollers: list[Poller] = field(default_factory=list)
    timers: list[TimerPoller] = field(default_factory=list)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    exits: AsyncExitStack = field(default_factory=AsyncExitStack)
    ending: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def cpq(self) -> Cpq:
        """Where quotes are made."""
        return Cpq(self)

    @property
    def erp(self) -> Erp:
        """Where master data is kept."""
        return self._erp

    _erp: Erp = field(init=False)

    def __post_init__(self) -> None:
        self._erp = Erp(self)

    async def start(self, parts: Sequence[str] = ("all",)) -> None:
        """Run parts of the landscape in this process."""
        stores = self.fabric.stores
        steersman = Steersman(orders=stores.orders, redeliveries=stores.redeliveries, loops=lambda: self.loops)
        self.tasks.append(asyncio.create_task(steersman.run(self.ending), name="steersman"))
        await steersman.ready()
        for running in self.fabric.subscribers(parts):
            loop = self.fabric.loop(running, worker=WORKER)
            steersman.steer(loop)
            self.loops.append(loop)
            self.tasks.append(asyncio.create_task(loop.run(), name=running.name))
        self.tasks.append(asyncio.create_task(self.fabric.governors.run(self.ending), name="governors"))
        self.pollers += [poller for poller, _ in self.fabric.pollers(parts)]
        self.timers += list(self.fabric.timers(parts))

    async def open_gateway(self) -> None:
        """Take every system's webhooks in this process."""
        bound = listen(self.fabric.settings.gateway, "gateway")
        address = await self.exits.enter_async_context(serving(application(self.fabric, ways_in(self.fabric)), bound))
        await self.drivers.webhooks_to(address)

    async def stop(self) -> None:
        """Drain everything that runs."""
        self.ending.set()
        for loop in self.loops:
            loop.drain()
        await asyncio.gather(*self.tasks)
        self.ending.clear()
        self.loops.clear()
        self.tasks.clear()

    async def settle(self, *, but: str | None = None, within: timedelta = SETTLE_WITHIN) -> None:
        """Wait until lanes are empty, no timer is due, no webhook waits and no poller has news.

        Args:
            but: A role whose subscribers are left out: they wait for a system that is off.
            within: For how long at the most.

        Raises:
            Unsettled: it still moves; the message names what.
            Exception: what a subscriber failed with.
        """
        moving: list[str] = []
        left_out = tuple(f"{system.name}." for system in self.fabric.systems.values() if system.settings.role == but) or ("-",)
        try:
            async with asyncio.timeout(within.total_seconds()):
                quiet = 0
                while quiet < 2:  # noqa: PLR2004  what the first look set going, the second sees
                    moving = [item for item in await self._moving() if not item.startswith(left_out)]
                    quiet = 0 if moving else quiet + 1
                    if moving:
                        await asyncio.sleep(LOOK_EVERY_S)
        except TimeoutError:
            raise Unsettled(f"after {within}: {', '.join(moving)}") from None

    async def _moving(self) -> list[str]:
        self._raise_failures()
        moving = []
        if pending := await self.drivers.webhooks_pending():
            moving.append(f"{pending} webhooks")
        for poller in self.pollers:
            try:
                moving += [f"poller {poller.name}"] if await poller.poll() else []
            except FabricError:
                moving.append(f"poller {poller.name} cannot reach its system")
        for timer in self.timers:
            moving += ["timers"] if await timer.poll() else []
        running = [loop for loop in self.loops if not loop.stands_still and loop.state is not LoopState.PAUSED]
        if busy := [f"{loop.name} ({loop.state})" for loop in running if loop.busy]:
            return moving + busy
        topics = sorted({topic for loop in running for topic in loop.topics})
        ends = await asyncio.to_thread(self.fabric.reader.ends, topics)
        lags = [await loop.lag(ends) for loop in running]
        return moving + [
            f"{loop.name} ({lag.state}, {lag.behind} behind, {lag.open} open{', settling' if lag.settling else ''})"
            for loop, lag in zip(running, lags, strict=True)
            if not lag.nothing
        ]

    def _raise_failures(self) -> None:
        for task in self.tasks:
            if task.done() and not task.cancelled() and (error := task.exception()):
                raise error

    async def balances(self) -> Sequence[Balance]:
        """The sums of all topics."""
        return await asyncio.to_thread(balances, self.fabric.settings, self.fabric.reader, self.fabric.codec)

    async def put_raw(self, topic: str, *, key: bytes | None, value: bytes, headers: Sequence[tuple[str, bytes]] = ()) -> None:
        """Put any bytes on a topic, as something that knows nothing of the fabric would."""
        transactions = self.fabric.backing(f"raw-{uuid4().hex[:8]}").transactions
        await transactions.start()
        try:
            await transactions.commit(Commit([Outgoing(topic, key, value, tuple(headers))], {}, Snapshot(None, {})))
        finally:
            await transactions.close()

    async def publish(self, *bodies: Message) -> None:
        """Publish messages, each with an id of its own."""
        now = self.clock.now()
        await asyncio.to_thread(self.fabric.codec.prepare, [type(body) for body in bodies])
        await self.fabric.publisher.publish(
            [
                Envelope(body, MessageId(str(uuid4())), "/tests", now, correlation_id=body.key, business_keys=body.search_keys())
                for body in bodies
            ]
        )

    async def ensure_topics(self, *names: str) -> None:
        """Make topics that no subscriber of the landscape has."""
        await asyncio.to_thread(self.fabric.make_topics, names)

    async def records(self, topic: str) -> Sequence[Record]:
        """Everything that stands on a topic."""
        return await asyncio.to_thread(lambda: list(self.fabric.reader.read([topic])))

    async def payer_with_declined_card(self) -> str:
        """A customer whom billing knows with a card that is declined."""
        return await self.drivers.add_declined_payer()

    async def set_offline(self, role: str, *, offline: bool) -> None:
        """Switch a simulated system off or on."""
        await self.drivers.set_offline(role, offline=offline)


async def run_until(loop: SubscriberLoop, true: Callable[[], bool], within: timedelta = SETTLE_WITHIN) -> None:
    """Run one subscriber until something is true of it, then drain it. Raises TimeoutError, and what the subscriber failed with."""
    task = asyncio.create_task(loop.run())
    try:
        async with asyncio.timeout(within.total_seconds()):
            while not true() and not task.done():
                await asyncio.sleep(LOOK_EVERY_S)
    finally:
        loop.drain()
        await task


@asynccontextmanager
async def running_world(fabric: Fabric, drivers: Drivers, clock: ForwardClock) -> AsyncIterator[World]:
    """A world in which everything runs, drained at the end."""
    world = World(fabric, drivers, clock)
    async with world.exits:
        await world.open_gateway()
        await world.start()
        try:
            yield world
        finally:
            await world.stop()
