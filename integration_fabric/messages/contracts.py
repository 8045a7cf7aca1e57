"""What travels about contracts. Generated from schemas/ by `make generate`; edit the schema files."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import ClassVar

from integration_fabric.messages.base import Event
from integration_fabric.messages.ids import ContractId, CustomerId, LegalEntity, OrderId, QuoteId, SubscriptionId


class ContractActivated(Event):
    """A contract is in force."""

    topic: ClassVar[str] = "contracts.contract-activated.v1"
    schema_name: ClassVar[str] = "contracts.v1.ContractActivated"
    key_field: ClassVar[str] = "contract_id"
    business_key_fields: ClassVar[tuple[tuple[str, str], ...]] = (
        ("contract", "contract_id"),
        ("quote", "quote_id"),
        ("order", "order_id"),
        ("customer", "customer_id"),
        ("subscription", "subscription_id"),
    )

    contract_id: ContractId
    """Canonical id of the contract."""
    quote_id: QuoteId
    """Canonical id of the quote."""
    order_id: OrderId
    """Canonical id of the order, minted by the process."""
    customer_id: CustomerId
    """Canonical id of the customer."""
    legal_entity: LegalEntity
    """Whose books it belongs to."""
    currency: str
    """ISO 4217 code of every amount in the message."""
    subscription_id: SubscriptionId | None = None
    """The subscription that bills it, if it has recurring lines."""
    starts_on: date
    """First day of service."""
    ends_on: date | None = None
    """Last day of service; empty for an open end."""
    total_amount: Decimal
    """Sum of its lines without tax, one period each."""
