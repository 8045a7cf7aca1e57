"""The demo's story: what is done to the systems, in order, and what must be true after each part. Knows no terminal."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from integration_fabric.messages.fabric import ProcessState
from integration_fabric.messages.ids import InvoiceId
from integration_fabric.process_engine.ports import InstanceRow, Instances
from integration_fabric.wiring.drivers import Drivers, Footprint, Money
from integration_fabric.wiring.samples import Landscape, SampleQuote, landscape, sample_quotes

PART_WITHIN = timedelta(minutes=6)
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
    invoices: int
    """How many billing should have issued."""
    money: Money
    state: str
    remark: str = ""
    """What happened to it, if something did."""

    @property
    def right(self) -> bool:
        """Whether they are the same, and all of its money stands in the books."""
        is_whole = self.expected == self.found and self.state == ProcessState.COMPLETED.value
        return is_whole and len(self.money.billed) == self.invoices and not self.money.differences


def expected_footprint(quote: SampleQuote) -> Footprint:
    """One order, one onboarding, an entitlement for each line, and a subscription if anything recurs."""
    recurs = any(line.charge_type != "one_off" for line in quote.lines)
    return Footprint(orders=1, subscriptions=int(recurs), entitlements=len(quote.lines), onboardings=1)


def expected_invoices(quote: SampleQuote) -> int:
    """Billing charges a subscription at its start, but for what is charged by usage."""
    return int(any(line.charge_type == "recurring" for line in quote.lines))


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
    remarks: dict[str, str] = field(default_factory=dict)
    billed_again: dict[str, str] = field(default_factory=dict)
    """Further invoices by quote."""

    @classmethod
    def of(cls, count: int, *, drivers: Drivers, instances: Instances, say: Say) -> Story:
        """A story of so many quotes."""
        return cls(drivers, instances, say, sample_quotes(count))

    async def load(self) -> None:
        """Master data into ERP and billing; one tax code is left out."""
        missing = [tax.code for tax in self.world.tax_codes if tax.missing_at_start]
        self.say(
            f"loading {len(self.world.products)} products, {len(self.world.customers)} customers with their cards, "
            f"{len(self.world.legal_entities)} legal entities and tax codes; {', '.join(missing)} is missing"
        )
        await self.drivers.load_master_data(self.world)

    async def missing_tax_code(self) -> None:
        """A third of the quotes; one is held on its tax code until that is added."""
        first = self._third(0)
        await self._approve(first)
        held = [quote.quote_id for quote in first if self._uses_missing(quote)]
        await self._until(lambda: self._completed(first, but=held) and all(self._state(q) is ProcessState.HELD for q in held), "orders")
        tax = next(tax for tax in self.world.tax_codes if tax.missing_at_start)
        self.say(f"{', '.join(held)} is held: the ERP does not know {tax.code}. Nothing was written for it. Adding {tax.code} to the ERP …")
        await self.drivers.add_tax_code(tax)
        await self._until(lambda: self._completed(first), "the held quote")
        self.say(f"{', '.join(held)} went on by itself")
        self.remarks |= dict.fromkeys(held, f"held on {tax.code}")

    async def customer_success_offline(self) -> None:
        """Another third, with customer success switched off: everything else goes on, and onboarding catches up."""
        second = self._third(1)
        self.say("customer success is switched off")
        await self.drivers.set_offline("customer-success", offline=True)
        await self._approve(second)
        await self._until(lambda: all(self._only_onboarding_open(quote.quote_id) for quote in second), "everything but onboarding")
        self.say(f"{len(second)} orders are active and supported all the same; their onboarding waits. Switching customer success on …")
        await self.drivers.set_offline("customer-success", offline=False)
        await self._until(lambda: self._completed(second), "onboarding")
        self.say("onboarding has caught up")

    async def webhooks_doubled_and_lost(self) -> None:
        """The rest, with every webhook of the CPQ sent twice, but one that is lost: polling finds it."""
        third = self._third(2)
        lost, doubled = third[0], third[1:]
        self.say(f"the CPQ's webhook about {lost.quote_id} is lost, and every other one is sent twice")
        await self.drivers.set_faults("cpq", webhook_loss_rate=1.0)
        await self._approve([lost])
        await self.drivers.set_faults("cpq", webhook_loss_rate=0.0, webhook_copies=2)
        await self._approve(doubled)
        await self._until(lambda: self._completed(third), "the lost quote")
        await self.drivers.set_faults("cpq", webhook_copies=1)
        self.say(f"{lost.quote_id} was found by polling; the doubled ones made one of each")
        self.remarks[lost.quote_id] = "its webhook was lost"

    async def invoices_and_payments(self) -> None:
        """Billing has charged every subscription: invoices and payments reach the ERP's books."""
        expected = sum(expected_invoices(quote) for quote in self.quotes)
        self.say(f"{expected} invoices and their payments go to the ERP's books")
        await self._until_through("invoice-posting", expected)
        await self._until_through("payment-application", expected)

    async def payment_failure(self) -> None:
        """A card is declined: overdue in the ERP, a person asked in customer success. It is paid: both are closed."""
        quote = next(quote for quote in self._third(0) if expected_invoices(quote))
        self.say(f"the card of {quote.bill_to} is declined when billing collects the next invoice of {quote.quote_id}")
        invoice = await self.drivers.bill_again(quote.quote_id)
        self.billed_again[quote.quote_id] = invoice
        await self.drivers.card(quote.bill_to, works=False)
        await self.drivers.collect(invoice)
        await self._until_true(lambda: self._shows(invoice, overdue=True, interventions=["open"]), "overdue and intervention")
        self.say(f"{invoice} is overdue in the ERP, and customer success has an intervention. The card works again …")
        await self.drivers.card(quote.bill_to, works=True)
        await self.drivers.collect(invoice)
        await self._until_true(lambda: self._shows(invoice, overdue=False, interventions=["closed"]), "both closed")
        self.say("it is paid: the receivable is settled and the intervention closed")
        self.remarks[quote.quote_id] = "a payment failed and was made good"

    async def count(self) -> Sequence[Counted]:
        """Ask every system what it holds of each quote."""
        ids = [quote.quote_id for quote in self.quotes]
        found, money = await self.drivers.footprints(ids), await self.drivers.money(ids)
        await self.look()
        return [
            Counted(
                quote,
                expected_footprint(quote),
                found[quote.quote_id],
                expected_invoices(quote) + (quote.quote_id in self.billed_again),
                money[quote.quote_id],
                str(self._state(quote.quote_id) or "missing"),
                self.remarks.get(quote.quote_id, ""),
            )
            for quote in self.quotes
        ]

    async def look(self) -> None:
        """See how the processes stand."""
        found = await self.instances.find(process="quote-to-activation", limit=len(self.quotes) + 10)
        self.rows = {row.instance.key: row for row in found}

    def _third(self, number: int) -> Sequence[SampleQuote]:
        size = len(self.quotes) // 3
        return self.quotes[number * size :] if number == 2 else self.quotes[number * size : (number + 1) * size]  # noqa: PLR2004  the last

    async def _approve(self, quotes: Sequence[SampleQuote]) -> None:
        first, last = quotes[0].quote_id, quotes[-1].quote_id
        self.say(f"approving {len(quotes)} quotes in the CPQ: {first} to {last}" if len(quotes) > 1 else f"approving {first} in the CPQ")
        for quote in quotes:
            await self.drivers.approve(quote)
            self.approved.append(quote.quote_id)

    async def _shows(self, invoice: str, *, overdue: bool, interventions: Sequence[str]) -> bool:
        posted = (await self.drivers.posted([InvoiceId(invoice)]))[InvoiceId(invoice)]
        seen = (await self.drivers.interventions([invoice]))[invoice]
        return [record.is_overdue for record in posted] == [overdue] and list(seen) == list(interventions)

    async def _until_through(self, process: str, expected: int) -> None:
        async def through() -> bool:
            found = await self.instances.find(process=process, state=ProcessState.COMPLETED.value, limit=expected + 10)
            return len(found) >= expected

        await self._until_true(through, f"{process} of {expected} invoices")

    async def _until(self, true: Callable[[], bool], what: str) -> None:
        async def looked() -> bool:
            return true()

        await self._until_true(looked, what)

    async def _until_true(self, true: Callable[[], Awaitable[bool]], what: str) -> None:
        try:
            async with asyncio.timeout(PART_WITHIN.total_seconds()):
                await self.look()
                while not await true():
                    await asyncio.sleep(LOOK_EVERY_S)
                    await self.look()
        except TimeoutError:
            open_ = [
                f"{key}: {row.instance.state.value}" for key, row in self.rows.items() if row.instance.state is not ProcessState.COMPLETED
            ]
            raise StoryStuck(f"{what} did not come within {PART_WITHIN}: {'; '.join(open_) or 'every quote is through'}") from None

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
