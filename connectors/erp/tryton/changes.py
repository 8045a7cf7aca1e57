"""What has changed in Tryton's master data, as a poller asks for it: Tryton itself tells nobody."""

from __future__ import annotations

from dataclasses import dataclass

from connectors.erp.tryton.erp import TrytonErp
from connectors.erp.tryton.failures import judged
from connectors.erp.tryton.intake import Cursor, customer_events, product_events, read_cursor, tax_events
from integration_fabric.connector_kit.polling import Page, Source


@dataclass(frozen=True, slots=True)
class TrytonChanges(Source):
    """Tax codes, products and customers of one database, those out of use among them: each as it is now, however often it has changed."""

    erp: TrytonErp

    async def read(self, cursor: str | None) -> Page:
        """What has changed since the cursor, taxes first: holds wait for them most. Raises FabricError."""
        since = read_cursor(cursor)
        companies = await judged(self.erp.companies())
        taxes = await judged(self.erp.changed_taxes(since.taxes))
        products = await judged(self.erp.changed_products(since.products))
        customers = await judged(self.erp.changed_customers(since.customers))
        events = (
            *tax_events(taxes.records, companies),
            *product_events(products.records),
            *customer_events(customers.records),
        )
        reached = Cursor(taxes=taxes.cursor, products=products.cursor, customers=customers.cursor)
        return Page(events, reached.model_dump_json())
