"""The demo's story: what is done to the systems, in order, and what must be true after each part. Knows no terminal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from integration_fabric.messages.fabric import ProcessState
from integration_fabric.process_engine.ports import InstanceRow, Instances
from integration_fabric.wiring.drivers import Drivers, Footprint
from integration_fabric.wiring.samples import Landscape, SampleQuote, landscape, sample_quotes

PART_WITHIN = timedelta(minutes=3)
LOOK_EVERY_S = 0.25

Say = Callable[[str], None]


class StoryStuck(Exception):
    """A part of the story did not end in its time; the message says what was missing."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What one quote should have left in the systems, and what they hold."""

    quote: SampleQuote
    expected: Footprint
    found: Footprint
    state: str

    @property
    def right(self) -> bool:
        """Whether they are the same."""
        return self.expected == self.found and self.state == ProcessState.COMPLETED.value


def expected_footprint(quote: SampleQuote) -> Footprint:
    """One order, one onboarding, an entitlement for each line, and a subscription if anything recurs."""
    recurs = any(line.charge_type != "one_off" for line in quote.lines)
    return Footprint(orders=1, subscriptions=int(recurs), entitlements=len(quote.lines), onboardings=1)


@dataclass(slots=True)
class Story:
    """Tells it once."""

    drivers: Drivers
    instances: Instances
    say: Say
    quotes: Sequence[SampleQuote]
    approved: list[str] = field(default_factory=list)
    rows: Mapping[str, InstanceRow] = field(default_factory=dict)
    world: Landscape = field(default_factory=landscape)

    @classmethod
    def of(cls, count: int, *, drivers: Drivers, instances: Instances, say: Say) -> Story:
        """A story of so many quotes."""
        return cls(drivers, instances, say, sample_quotes(count))

    async def load(self) -> None:
        """Master data into the ERP; one tax code is left out."""
        missing = [tax.code for tax in self.world.tax_codes if tax.missing_at_start]
        self.say(
            f"loading {len(self.world.products)} products, {len(self.world.customers)} customers, {len(self.world.legal_entities)} legal "
            f"entities and tax codes; {', '.join(missing)} is missing"
        )
        await self.drivers.load_master_data(self.world)

    async def missing_tax_code(self) -> None:
        """Half of the quotes; one is held on its tax code until that is added."""
        first = self.quotes[: len(self.quotes) // 2]
        await self._approve(first)
        held = [quote.quote_id for quote in first if self._uses_missing(quote)]
        await self._until(lambda: self._completed(first, but=held) and all(self._state(q) is ProcessState.HELD for q in held), "orders")
        tax = next(tax for tax in self.world.tax_codes if tax.missing_at_start)
        self.say(f"{', '.join(held)} is held: the ERP does not know {tax.code}. Nothing was written for it. Adding {tax.code} to the ERP …")
        await self.drivers.add_tax_code(tax)
        await self._until(lambda: self._completed(first), "the held quote")
        self.say(f"{', '.join(held)} went on by itself")

    async def customer_success_offline(self) -> None:
        """The other half, with customer success switched off: everything else goes on, and onboarding catches up."""
        second = self.quotes[len(self.quotes) // 2 :]
        self.say("customer success is switched off")
        await self.drivers.set_offline("customer-success", offline=True)
        await self._approve(second)
        await self._until(lambda: all(self._only_onboarding_open(quote.quote_id) for quote in second), "everything but onboarding")
        self.say(f"{len(second)} orders are active and supported all the same; their onboarding waits. Switching customer success on …")
        await self.drivers.set_offline("customer-success", offline=False)
        await self._until(lambda: self._completed(second), "onboarding")
        self.say("onboarding has caught up")

    async def count(self) -> Sequence[Counted]:
        """Ask every system what it holds of each quote."""
        found = await self.drivers.footprints([quote.quote_id for quote in self.quotes])
        await self.look()
        return [
            Counted(quote, expected_footprint(quote), found[quote.quote_id], str(self._state(quote.quote_id) or "missing"))
            for quote in self.quotes
        ]

    async def look(self) -> None:
        """See how the processes stand."""
        found = await self.instances.find(process="quote-to-activation", limit=len(self.quotes) + 10)
        self.rows = {row.instance.key: row for row in found}

    async def _approve(self, quotes: Sequence[SampleQuote]) -> None:
        self.say(f"approving {len(quotes)} quotes in the CPQ: {quotes[0].quote_id} to {quotes[-1].quote_id}")
        for quote in quotes:
            await self.drivers.approve(quote)
            self.approved.append(quote.quote_id)

    async def _until(self, true: Callable[[], bool], what: str) -> None:
        try:
            async with asyncio.timeout(PART_WITHIN.total_seconds()):
                await self.look()
                while not true():
                    await asyncio.sleep(LOOK_EVERY_S)
                    await self.look()
        except TimeoutError:
            open_ = [
                f"{key}: {row.instance.state.value}" for key, row in self.rows.items() if row.instance.state is not ProcessState.COMPLETED
            ]
            raise StoryStuck(f"{what} did not come within {PART_WITHIN}: {'; '.join(open_) or 'no process began'}") from None

    def _state(self, quote_id: str) -> ProcessState | None:
        row = self.rows.get(quote_id)
        return row.instance.state if row else None

    def _completed(self, quotes: Sequence[SampleQuote], but: Sequence[str] = ()) -> bool:
        return all(self._state(quote.quote_id) is ProcessState.COMPLETED for quote in quotes if quote.quote_id not in but)

    def _only_onboarding_open(self, quote_id: str) -> bool:
        row = self.rows.get(quote_id)
        return row is not None and [step.name for step in row.instance.open_steps()] == ["onboarding"]

    def _uses_missing(self, quote: SampleQuote) -> bool:
        missing = {tax.code for tax in self.world.tax_codes if tax.missing_at_start}
        return any(line.tax_code in missing for line in quote.lines)
