"""What has changed in Tryton's master data, as a poller asks for it: Tryton itself tells nobody."""

from __future__ import annotations

from dataclasses import dataclass

from connectors.erp.tryton.erp import TrytonErp
from connectors.erp.tryton.failures import judged
from connectors.erp.tryton.intake import (
    Cursor,
    account_events,
    customer_events,
    period_events,
    product_events,
    read_cursor,
    tax_events,
)
from integration_fabric.connector_kit.polling import Page, Source


@dataclass(frozen=True, slots=True)
class TrytonChanges(Source):
    """Master data of one database, what is out of use too: each record as it is now, however often it has changed.

    Tax codes, periods, accounts, products and customers.
    """

    erp: TrytonErp

    async def read(self, cursor: str | None) -> Page:
        """What has changed since the cursor, taxes and periods first: holds wait for them most. Raises FabricError."""
        since = read_cursor(cursor)
        companies = await judged(self.erp.companies())
        taxes = await judged(self.erp.changed_taxes(since.taxes))
        periods = await judged(self.erp.changed_periods(since.periods))
        accounts = await judged(self.erp.changed_accounts(since.accounts))
        products = await judged(self.erp.changed_products(since.products))
        customers = await judged(self.erp.changed_customers(since.customers))
        events = (
            *tax_events(taxes.records, companies),
            *period_events(periods.records, companies),
            *account_events(accounts.records, companies),
            *product_events(products.records),
            *customer_events(customers.records),
        )
        reached = Cursor(
            taxes=taxes.cursor,
            products=products.cursor,
            customers=customers.cursor,
            periods=periods.cursor,
            accounts=accounts.cursor,
        )
        return Page(events, reached.model_dump_json())
