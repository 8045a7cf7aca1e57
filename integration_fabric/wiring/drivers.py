"""What a person would do to the systems, and what an auditor would count in them: for scenarios and the demo, never for workers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Unpack
from urllib.parse import urlsplit
from uuid import uuid4

from connectors.billing.stripe.client import Stripe
from connectors.billing.stripe.reader import StripeReader
from connectors.cpq.salesforce.client import Salesforce
from connectors.cpq.salesforce.records import NewQuote
from connectors.customer_success.gainsight.reader import GainsightReader
from connectors.erp.tryton.client import Tryton
from connectors.erp.tryton.reader import TrytonReader
from connectors.erp.tryton.records import NewCustomer, NewProduct
from connectors.simulators.control import FaultChanges, SimulatorControl
from connectors.simulators.landscape import Landscape, Quote, QuoteLine as LandscapeLine, TaxCode
from connectors.support.zendesk.reader import ZendeskReader
from integration_fabric.local import tryton
from integration_fabric.local.settings import LocalSettings
from integration_fabric.messages.ids import ContractId, CustomerId, LegalEntity, OrderId, QuoteId, SubscriptionId
from integration_fabric.messages.quotes import BillingPeriod, ChargeType, QuoteLine
from integration_fabric.wiring.fabric import OpenSystem, open_system
from integration_fabric.wiring.settings import Settings

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
class Drivers:
    """The systems, as people use them."""

    systems: Mapping[str, OpenSystem]
    """By role."""
    control: SimulatorControl
    simulated: frozenset[str]
    """The roles that simulators play."""

    async def approve(self, quote: Quote) -> None:
        """Write a quote in the CPQ and approve it; the CPQ's webhook follows."""
        cpq: Salesforce = self.systems["cpq"].client
        await cpq.create_quote(new_quote(quote))
        await cpq.approve_quote(quote.quote_id)

    async def approve_again(self, quote_id: str) -> None:
        """Take a quote back into draft and approve it once more: a second webhook about the same quote follows."""
        cpq: Salesforce = self.systems["cpq"].client
        await cpq.reopen_quote(quote_id)
        await cpq.approve_quote(quote_id)

    async def load_master_data(self, world: Landscape) -> None:
        """Load products, customers and all tax codes but those that are missing at the start. What is there stays."""
        erp: Tryton = self.systems["erp"].client
        category = None if "erp" in self.simulated else self._category()
        for tax in world.tax_codes:
            if not tax.missing_at_start:
                await self.add_tax_code(tax)
        await erp.add_products([NewProduct(product.sku, product.name) for product in world.products], category=category)
        await erp.add_customers([NewCustomer(customer.id, customer.name, customer.city) for customer in world.customers])

    async def add_tax_code(self, tax: TaxCode) -> None:
        """Add one tax code to the ERP."""
        erp: Tryton = self.systems["erp"].client
        await erp.add_tax_code(tax.code, Decimal(tax.rate), tax.legal_entity)

    async def set_offline(self, role: str, *, offline: bool) -> None:
        """Switch a simulated system off or on: while it is off nothing is answered and nothing is carried out."""
        await self.control.set_faults(self.vendor(role), offline=offline)

    async def webhook_copies(self, copies: int) -> None:
        """From now on the CPQ sends each webhook so many times."""
        await self.control.set_faults(self.vendor("cpq"), webhook_copies=copies)

    async def webhooks_to(self, url: str) -> None:
        """Where the CPQ sends its webhooks from now on."""
        await self.control.set_faults(self.vendor("cpq"), webhook_url=url)

    async def faultless(self) -> None:
        """Switch all faults off."""
        for role in self.simulated:
            await self.control.clear_faults(self.vendor(role))

    async def set_faults(self, role: str, **changes: Unpack[FaultChanges]) -> None:
        """Switch faults of a simulated system; the others stay as they are."""
        await self.control.set_faults(self.vendor(role), **changes)

    def vendor(self, role: str) -> str:
        """How the control API calls the system that plays a role."""
        system = self.systems[role].settings
        return "tryton" if system.role == "erp" else system.vendor

    async def webhooks_pending(self) -> int:
        """How many webhooks of the CPQ were not taken yet."""
        return (await self.control.webhooks(self.vendor("cpq"))).get("pending", 0)

    async def webhooks_lost(self) -> int:
        """How many webhooks of the CPQ were lost on their way so far: it believes that they were taken."""
        return (await self.control.webhooks(self.vendor("cpq"))).get("lost", 0)

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

    async def add_declined_payer(self) -> str:
        """Have billing know a new payer whose card is declined."""
        billing: Stripe = self.systems["billing"].client
        payer = f"C-{uuid4().hex[:10]}"
        await billing.create_customer(payer, key=f"declined:{payer}", payment_method="pm_card_chargeDeclined")
        return payer

    async def _orders(self, quote_ids: Sequence[str]) -> Mapping[str, Sequence[str]]:
        return _by_text(await TrytonReader(self.systems["erp"].client).orders([OrderId(f"SO-{q}") for q in quote_ids]))

    async def _subscriptions(self, quote_ids: Sequence[str]) -> Mapping[str, Sequence[str]]:
        return _by_text(await StripeReader(self.systems["billing"].client).subscriptions([SubscriptionId(f"SUB-{q}") for q in quote_ids]))

    async def _entitlements(self, quote_ids: Sequence[str]) -> Mapping[str, Sequence[str]]:
        return _by_text(await ZendeskReader(self.systems["support"].client).entitlements([ContractId(f"CT-{q}") for q in quote_ids]))

    async def _onboardings(self, quote_ids: Sequence[str]) -> Mapping[str, Sequence[str]]:
        reader = GainsightReader(self.systems["customer-success"].client)
        return _by_text(await reader.onboardings([ContractId(f"CT-{q}") for q in quote_ids]))

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
