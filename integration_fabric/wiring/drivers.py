"""What a person would do to the systems, and what an auditor would count in them: for scenarios and the demo, never for workers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Unpack
from urllib.parse import urlsplit
from uuid import uuid4

from connectors.billing.stripe.client import Stripe
from connectors.cpq.salesforce.client import Salesforce
from connectors.cpq.salesforce.records import NewQuote
from connectors.erp.tryton.erp import TrytonErp
from connectors.erp.tryton.records import NewCustomer, NewProduct
from connectors.simulators.control import FaultChanges, SimulatorControl
from connectors.simulators.landscape import Landscape, Quote, QuoteLine as LandscapeLine, TaxCode
from integration_fabric.connector_kit.several import side_by_side
from integration_fabric.local import tryton
from integration_fabric.local.settings import LocalSettings
from integration_fabric.messages.ids import (
    ContractId,
    CustomerId,
    InterventionId,
    InvoiceId,
    LegalEntity,
    OrderId,
    QuoteId,
    SubscriptionId,
    deterministic_id,
)
from integration_fabric.messages.quotes import BillingPeriod, ChargeType, QuoteLine
from integration_fabric.roles.billing import BilledInvoice, BillingReader
from integration_fabric.roles.customer_success import CustomerSuccessReader
from integration_fabric.roles.erp import ErpReader, PostedInvoice
from integration_fabric.wiring.fabric import OpenSystem, open_system
from integration_fabric.wiring.settings import Settings

GOOD_CARD, DECLINED_CARD = "pm_card_visa", "pm_card_chargeCustomerFail"
ENDED_ORDER = frozenset({"cancelled"})
ENDED_SUBSCRIPTION = frozenset({"canceled", "cancelled"})


@dataclass(frozen=True, slots=True)
class Footprint:
    """How many live records of one quote each system holds, counted by asking the systems."""

    orders: int = 0
    subscriptions: int = 0
    entitlements: int = 0
    onboardings: int = 0


@dataclass(frozen=True, slots=True)
class Money:
    """What billing has charged for one quote, and what stands in the ERP's books."""

    billed: Sequence[BilledInvoice]
    posted: Mapping[InvoiceId, Sequence[PostedInvoice]]
    """By billing's invoices; one entry for each record, so that a double shows."""

    @property
    def differences(self) -> Sequence[str]:
        """Everything that is not the same to the cent on both sides; empty where all is right."""
        return [text for invoice in self.billed for text in _differences(invoice, self.posted[invoice.invoice_id])]


def _differences(billed: BilledInvoice, records: Sequence[PostedInvoice]) -> Iterator[str]:
    if len(records) != 1:
        yield f"{billed.invoice_id}: {len(records)} records in the ERP"
        return
    posted = records[0]
    if not posted.is_posted:
        yield f"{billed.invoice_id}: a draft in the ERP"
    theirs = (billed.currency, billed.total, billed.tax, billed.total - billed.paid)
    ours = (posted.currency, posted.total, posted.tax, posted.open)
    for name, left, right in zip(("currency", "total", "tax", "open amount"), theirs, ours, strict=True):
        if left != right:
            yield f"{billed.invoice_id}: {name} is {left} in billing and {right} in the ERP"


@dataclass(frozen=True, slots=True)
class Drivers:
    """The systems, as people use them."""

    systems: Mapping[str, OpenSystem]
    """By role."""
    control: SimulatorControl
    simulated: frozenset[str]
    """The roles that simulators play."""

    # What people do

    async def approve(self, quote: Quote) -> None:
        """Write a quote in the CPQ and approve it; the CPQ's webhook follows."""
        await self.write(quote)
        await self.approve_written(quote.quote_id)

    async def write(self, quote: Quote) -> None:
        """Write a quote in the CPQ. Raises as its client; a quote that is there is refused."""
        cpq: Salesforce = self.systems["cpq"].client
        await cpq.create_quote(new_quote(quote))

    async def approve_written(self, quote_id: str) -> None:
        """Approve a quote that was written. Raises as the CPQ's client."""
        cpq: Salesforce = self.systems["cpq"].client
        await cpq.approve_quote(quote_id)

    async def approve_again(self, quote_id: str) -> None:
        """Take a quote back into draft and approve it once more: a second webhook about the same quote follows."""
        cpq: Salesforce = self.systems["cpq"].client
        await cpq.reopen_quote(quote_id)
        await cpq.approve_quote(quote_id)

    async def load_master_data(self, world: Landscape) -> None:
        """Load products, customers and all tax codes but those that are missing at the start. What is there stays."""
        category = None if "erp" in self.simulated else self._category()
        for tax in world.tax_codes:
            if not tax.missing_at_start:
                await self.add_tax_code(tax)
        await self.erp.add_products([NewProduct(product.sku, product.name) for product in world.products], category=category)
        await self.erp.add_customers([NewCustomer(customer.id, customer.name, customer.city) for customer in world.customers])
        await side_by_side(self.add_payer, [customer.id for customer in world.customers])

    async def add_tax_code(self, tax: TaxCode) -> None:
        """Add one tax code to billing, and then to the ERP, whose news of it releases what waits."""
        await self.billing.ensure_tax_rate(tax.code, Decimal(tax.rate), key=f"tax-rate:{tax.code}")
        await self.erp.add_tax_code(tax.code, Decimal(tax.rate), tax.legal_entity)

    async def add_payer(self, customer: str, *, payment_method: str = GOOD_CARD) -> None:
        """Have billing know a payer with a card; one that it knows keeps the card that he has."""
        if await self.billing.find_customer(customer) is None:
            await self.billing.create_customer(customer, key=f"payer:{customer}", payment_method=payment_method)

    async def add_declined_payer(self) -> str:
        """Have billing know a new payer whose card is declined."""
        payer = f"C-{uuid4().hex[:10]}"
        await self.add_payer(payer, payment_method=DECLINED_CARD)
        return payer

    async def card(self, customer: str, *, works: bool) -> None:
        """From now on the payer's card is declined, or charged again."""
        await self.billing.set_payment_method(customer, GOOD_CARD if works else DECLINED_CARD)

    async def bill_again(self, quote_id: str) -> str:
        """Have billing issue the next invoice of a quote's subscription, without collecting it; its id."""
        return await self.billing.bill_again(f"SUB-{quote_id}")

    async def collect(self, invoice_id: str) -> bool:
        """Have billing charge the payer for an invoice; False where his card is declined."""
        return await self.billing.pay_invoice(invoice_id)

    # What goes wrong

    async def set_offline(self, role: str, *, offline: bool) -> None:
        """Switch a simulated system off or on: while it is off nothing is answered and nothing is carried out."""
        await self.set_faults(role, offline=offline)

    async def set_faults(self, role: str, **changes: Unpack[FaultChanges]) -> None:
        """Set switches of a simulated system."""
        await self.control.set_faults(self.vendor(role), **changes)

    async def webhook_copies(self, copies: int) -> None:
        """From now on the CPQ sends each webhook so many times."""
        await self.set_faults("cpq", webhook_copies=copies)

    async def faultless(self) -> None:
        """Switch all faults off."""
        for role in self.simulated:
            await self.control.clear_faults(self.vendor(role))

    async def webhooks_to(self, gateway: str) -> None:
        """Where every system sends its webhooks from now on."""
        for role in self.sending:
            await self.set_faults(role, webhook_url=f"{gateway}/webhooks/{self.systems[role].name}")

    async def webhooks_pending(self) -> int:
        """How many webhooks were not taken yet."""
        return sum([(await self.control.webhooks(self.vendor(role))).get("pending", 0) for role in self.sending])

    async def webhooks_lost(self) -> int:
        """How many webhooks of the CPQ were lost on their way so far: it believes that they were taken."""
        return (await self.control.webhooks(self.vendor("cpq"))).get("lost", 0)

    @property
    def sending(self) -> Sequence[str]:
        """The simulated roles that send webhooks."""
        return [role for role in sorted(self.simulated) if self.systems[role].vendor.verifier is not None]

    # What the systems hold

    async def footprints(self, quote_ids: Sequence[str], *, but: str | None = None) -> Mapping[str, Footprint]:
        """Count the records of quotes in every system; a role that is left out counts as none."""
        orders, subscriptions, entitlements, onboardings = await asyncio.gather(
            self._orders(quote_ids) if but != "erp" else _none(),
            self._subscriptions(quote_ids) if but != "billing" else _none(),
            self._entitlements(quote_ids) if but != "support" else _none(),
            self._onboardings(quote_ids) if but != "customer-success" else _none(),
        )
        return {
            q: Footprint(
                orders=_living(orders.get(f"SO-{q}", ()), ENDED_ORDER),
                subscriptions=_living(subscriptions.get(f"SUB-{q}", ()), ENDED_SUBSCRIPTION),
                entitlements=len(entitlements.get(f"CT-{q}", ())),
                onboardings=len(onboardings.get(f"CT-{q}", ())),
            )
            for q in quote_ids
        }

    async def ended_orders(self, quote_id: str) -> int:
        """How many orders of a quote were taken back."""
        states = (await self._orders([quote_id])).get(f"SO-{quote_id}", ())
        return len(states) - _living(states, ENDED_ORDER)

    async def money(self, quote_ids: Sequence[str]) -> Mapping[str, Money]:
        """What billing has charged for quotes, beside what stands in the ERP's books."""
        reader: BillingReader = self._reader("billing")
        billed = await reader.invoices([SubscriptionId(f"SUB-{q}") for q in quote_ids])
        books = await self.posted([invoice.invoice_id for invoices in billed.values() for invoice in invoices])
        found = {}
        for quote_id in quote_ids:
            invoices = billed.get(SubscriptionId(f"SUB-{quote_id}"), ())
            found[quote_id] = Money(invoices, {invoice.invoice_id: books[invoice.invoice_id] for invoice in invoices})
        return found

    async def posted(self, invoice_ids: Sequence[InvoiceId]) -> Mapping[InvoiceId, Sequence[PostedInvoice]]:
        """Invoices as they stand in the ERP's books."""
        reader: ErpReader = self._reader("erp")
        return await reader.invoices(invoice_ids)

    async def interventions(self, invoice_ids: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """`open` or `closed` for each record of an intervention about each invoice."""
        reader: CustomerSuccessReader = self._reader("customer-success")
        ids = {invoice: InterventionId(deterministic_id("intervention", invoice)) for invoice in invoice_ids}
        found = await reader.interventions(list(ids.values()))
        return {invoice: found[identity] for invoice, identity in ids.items()}

    # How

    @property
    def erp(self) -> TrytonErp:
        """The ERP's client."""
        found: TrytonErp = self.systems["erp"].client
        return found

    @property
    def billing(self) -> Stripe:
        """Billing's client; localstripe's offers the same."""
        found: Stripe = self.systems["billing"].client
        return found

    def vendor(self, role: str) -> str:
        """How the control API calls the system that plays a role."""
        return self.systems[role].settings.vendor

    def _reader(self, role: str) -> Any:
        system = self.systems[role]
        assert system.vendor.reader is not None
        return system.vendor.reader(system.client)

    async def _orders(self, quote_ids: Sequence[str]) -> Mapping[str, Sequence[str]]:
        return _by_text(await self._reader("erp").orders([OrderId(f"SO-{q}") for q in quote_ids]))

    async def _subscriptions(self, quote_ids: Sequence[str]) -> Mapping[str, Sequence[str]]:
        return _by_text(await self._reader("billing").subscriptions([SubscriptionId(f"SUB-{q}") for q in quote_ids]))

    async def _entitlements(self, quote_ids: Sequence[str]) -> Mapping[str, Sequence[str]]:
        return _by_text(await self._reader("support").entitlements([ContractId(f"CT-{q}") for q in quote_ids]))

    async def _onboardings(self, quote_ids: Sequence[str]) -> Mapping[str, Sequence[str]]:
        return _by_text(await self._reader("customer-success").onboardings([ContractId(f"CT-{q}") for q in quote_ids]))

    @staticmethod
    def _category() -> int | None:
        address = tryton.running(LocalSettings())
        return address.category if address else None


async def _none() -> Mapping[str, Sequence[str]]:
    return {}


def _by_text(found: Mapping[Any, Sequence[str]]) -> Mapping[str, Sequence[str]]:
    return {str(key): states for key, states in found.items()}


def _living(states: Sequence[str], ended: Collection[str]) -> int:
    return len([state for state in states if state not in ended])


def new_quote(quote: Quote) -> NewQuote:
    """A quote of the landscape as the CPQ is given it."""
    return NewQuote(
        quote_id=QuoteId(quote.quote_id),
        customer_id=CustomerId(quote.customer_id),
        legal_entity=LegalEntity(quote.legal_entity),
        currency=quote.currency,
        payment_terms=quote.payment_terms,
        bill_to=quote.bill_to,
        ship_to=quote.ship_to,
        purchase_order_number=quote.purchase_order_number,
        lines=tuple(_line(line) for line in quote.lines),
    )


def _line(line: LandscapeLine) -> QuoteLine:
    return QuoteLine(
        line_id=line.line_id,
        parent_line_id=line.parent_line_id,
        bundle_id=line.bundle_id,
        product_id=line.sku,
        description=line.description,
        quantity=line.quantity,
        unit=line.unit,
        unit_price=line.unit_price,
        charge_type=ChargeType(line.charge_type),
        billing_period=BillingPeriod(line.billing_period),
        starts_on=line.starts_on,
        ends_on=line.ends_on,
        tax_code=line.tax_code,
        price_book_version=line.price_book_version,
    )


@asynccontextmanager
async def open_drivers(settings: Settings, *, control_url: str | None = None) -> AsyncIterator[Drivers]:
    """Open a client of each system, apart from those of workers, and the simulators' control.

    Args:
        settings: With one system a role.
        control_url: Of the simulators; by default where the simulated CPQ is.
    """
    async with AsyncExitStack() as stack:
        systems = {system.role: await open_system(name, system, stack) for name, system in settings.systems.items()}
        parts = urlsplit(systems["cpq"].settings.url)
        base = control_url or f"{parts.scheme}://{parts.netloc}"
        control = await stack.enter_async_context(SimulatorControl(base))
        simulated = frozenset(role for role, system in systems.items() if system.settings.url.startswith(base))
        yield Drivers(systems, control, simulated)
