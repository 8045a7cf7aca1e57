"""What a person would do to the systems, and what an auditor would count in them: for scenarios and the demo, never for workers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from urllib.parse import urlsplit

from connectors.billing.stripe.reader import StripeReader
from connectors.cpq.salesforce.client import Salesforce
from connectors.cpq.salesforce.records import NewQuote
from connectors.customer_success.gainsight.reader import GainsightReader
from connectors.erp.tryton.client import Tryton
from connectors.erp.tryton.reader import TrytonReader
from connectors.erp.tryton.records import NewCustomer, NewProduct
from connectors.simulators.control import SimulatorControl
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

    def vendor(self, role: str) -> str:
        """How the control API calls the system that plays a role."""
        system = self.systems[role].settings
        return "tryton" if system.role == "erp" else system.vendor

    async def webhooks_pending(self) -> int:
        """How many webhooks of the CPQ were not taken yet."""
        return (await self.control.webhooks(self.vendor("cpq"))).get("pending", 0)

    async def footprints(self, quote_ids: Sequence[str]) -> Mapping[str, Footprint]:
        """Count the records of quotes in every system."""
        order_ids = {q: OrderId(f"SO-{q}") for q in quote_ids}
        contract_ids = {q: ContractId(f"CT-{q}") for q in quote_ids}
        subscription_ids = {q: SubscriptionId(f"SUB-{q}") for q in quote_ids}
        orders, subscriptions, entitlements, onboardings = await asyncio.gather(
            TrytonReader(self.systems["erp"].client).orders(list(order_ids.values())),
            StripeReader(self.systems["billing"].client).subscriptions(list(subscription_ids.values())),
            ZendeskReader(self.systems["support"].client).entitlements(list(contract_ids.values())),
            GainsightReader(self.systems["customer-success"].client).onboardings(list(contract_ids.values())),
        )
        return {
            q: Footprint(
                orders=len([state for state in orders.get(order_ids[q], ()) if state not in ENDED_ORDER]),
                subscriptions=len([state for state in subscriptions.get(subscription_ids[q], ()) if state not in ENDED_SUBSCRIPTION]),
                entitlements=len(entitlements.get(contract_ids[q], ())),
                onboardings=len(onboardings.get(contract_ids[q], ())),
            )
            for q in quote_ids
        }

    @staticmethod
    def _category() -> int | None:
        address = tryton.running(LocalSettings())
        return address.category if address else None


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
