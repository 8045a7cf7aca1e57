"""What travels about subscriptions. Generated from schemas/ by `make generate`; edit the schema files."""

from __future__ import annotations

from typing import ClassVar

from pydantic import AwareDatetime

from integration_fabric.messages.base import Command, Event, NativeId, Replies
from integration_fabric.messages.ids import ContractId, CustomerId, LegalEntity, OrderId, SubscriptionId
from integration_fabric.messages.orders import OrderLine
from integration_fabric.messages.problems import Problem


class SubscriptionActivated(Event):
    """Billing charges the subscription from now on."""

    topic: ClassVar[str] = "billing.subscription-activated.v1"
    schema_name: ClassVar[str] = "billing.v1.SubscriptionActivated"
    key_field: ClassVar[str] = "subscription_id"
    business_key_fields: ClassVar[tuple[tuple[str, str], ...]] = (("subscription", "subscription_id"), ("order", "order_id"))
    native_ids: ClassVar[tuple[NativeId, ...]] = (
        NativeId("subscription", "subscription_id", "native_id"),
        NativeId("customer", "payer_id", "native_payer_id"),
    )

    subscription_id: SubscriptionId
    """Canonical id of the subscription, minted by the process."""
    order_id: OrderId
    """Canonical id of the order, minted by the process."""
    native_id: str
    """Billing's own id of the subscription."""
    payer_id: str | None = None
    """Canonical id of the customer who pays."""
    native_payer_id: str | None = None
    """Billing's own id of the customer who pays."""
    activated_at: AwareDatetime
    """When."""


class SubscriptionCancellationRejected(Event):
    """Billing refused to stop charging."""

    topic: ClassVar[str] = "billing.subscription-cancellation-rejected.v1"
    schema_name: ClassVar[str] = "billing.v1.SubscriptionCancellationRejected"
    key_field: ClassVar[str] = "subscription_id"
    business_key_fields: ClassVar[tuple[tuple[str, str], ...]] = (("subscription", "subscription_id"),)

    subscription_id: SubscriptionId
    """Canonical id of the subscription, minted by the process."""
    problems: tuple[Problem, ...] = ()
    """Why; never empty."""


class SubscriptionCancelled(Event):
    """Billing has stopped charging."""

    topic: ClassVar[str] = "billing.subscription-cancelled.v1"
    schema_name: ClassVar[str] = "billing.v1.SubscriptionCancelled"
    key_field: ClassVar[str] = "subscription_id"
    business_key_fields: ClassVar[tuple[tuple[str, str], ...]] = (("subscription", "subscription_id"), ("order", "order_id"))

    subscription_id: SubscriptionId
    """Canonical id of the subscription, minted by the process."""
    order_id: OrderId
    """Canonical id of the order, minted by the process."""


class SubscriptionRejected(Event):
    """Billing refused; nothing is charged."""

    topic: ClassVar[str] = "billing.subscription-rejected.v1"
    schema_name: ClassVar[str] = "billing.v1.SubscriptionRejected"
    key_field: ClassVar[str] = "subscription_id"
    business_key_fields: ClassVar[tuple[tuple[str, str], ...]] = (("subscription", "subscription_id"), ("order", "order_id"))

    subscription_id: SubscriptionId
    """Canonical id of the subscription, minted by the process."""
    order_id: OrderId
    """Canonical id of the order, minted by the process."""
    problems: tuple[Problem, ...] = ()
    """Why; never empty."""


class CancelSubscription(Command):
    """Stop charging a subscription."""

    topic: ClassVar[str] = "billing.cancel-subscription.v1"
    schema_name: ClassVar[str] = "billing.v1.CancelSubscription"
    key_field: ClassVar[str] = "subscription_id"
    business_key_fields: ClassVar[tuple[tuple[str, str], ...]] = (("subscription", "subscription_id"), ("order", "order_id"))
    replies: ClassVar[Replies] = Replies(done=SubscriptionCancelled, refused=SubscriptionCancellationRejected)

    subscription_id: SubscriptionId
    """Canonical id of the subscription, minted by the process."""
    order_id: OrderId
    """Canonical id of the order, minted by the process."""
    reason: str
    """Why, for people."""


class StartSubscription(Command):
    """Charge the recurring and usage lines of an order from their first day on."""

    topic: ClassVar[str] = "billing.start-subscription.v1"
    schema_name: ClassVar[str] = "billing.v1.StartSubscription"
    key_field: ClassVar[str] = "subscription_id"
    business_key_fields: ClassVar[tuple[tuple[str, str], ...]] = (
        ("subscription", "subscription_id"),
        ("order", "order_id"),
        ("contract", "contract_id"),
        ("customer", "customer_id"),
    )
    replies: ClassVar[Replies] = Replies(done=SubscriptionActivated, refused=SubscriptionRejected)

    subscription_id: SubscriptionId
    """Canonical id of the subscription, minted by the process."""
    order_id: OrderId
    """Canonical id of the order, minted by the process."""
    contract_id: ContractId
    """Canonical id of the contract."""
    customer_id: CustomerId
    """Canonical id of the customer."""
    legal_entity: LegalEntity
    """Whose books it belongs to."""
    currency: str
    """ISO 4217 code of every amount in the message."""
    bill_to: str
    """The party that pays."""
    payment_terms: str
    """Code of the payment terms."""
    lines: tuple[OrderLine, ...] = ()
    """The lines to charge."""
