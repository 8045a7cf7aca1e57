"""Quote approved → validated → booked → billed → activated → entitlements and onboarding. Owned by revenue operations."""

from __future__ import annotations

from datetime import timedelta

from integration_fabric.messages.contracts import ContractActivated
from integration_fabric.messages.entitlements import EntitlementLine, GrantEntitlements
from integration_fabric.messages.ids import ContractId, OrderId, SubscriptionId, deterministic_id
from integration_fabric.messages.onboardings import StartOnboarding
from integration_fabric.messages.orders import ActivateOrder, CancelOrder, CreateOrder, OrderActivated, OrderLine
from integration_fabric.messages.quotes import ChargeType, QuoteApproved, QuoteLine, ValidateQuote
from integration_fabric.messages.subscriptions import CancelSubscription, StartSubscription, SubscriptionActivated
from integration_fabric.process_engine.definition import Process, Publish, Received, Refusal, Step, on, parallel


def quote_of(event: QuoteApproved) -> str:
    """One instance for each quote."""
    return event.quote_id


def order_of(quote: QuoteApproved) -> OrderId:
    """The order's id is minted here, so that the ERP can be asked for it whatever happens."""
    return OrderId(f"SO-{quote.quote_id}")


def subscription_of(quote: QuoteApproved) -> SubscriptionId:
    """One subscription for each order."""
    return SubscriptionId(f"SUB-{quote.quote_id}")


def contract_of(quote: QuoteApproved) -> ContractId:
    """A new contract, or the one that is renewed."""
    return quote.contract_id or ContractId(f"CT-{quote.quote_id}")


def is_recurring(line: QuoteLine) -> bool:
    """Whether billing charges it again and again."""
    return line.charge_type is not ChargeType.ONE_OFF


def has_recurring_lines(received: Received) -> bool:
    """One-off quotes need no subscription."""
    return any(is_recurring(line) for line in received[QuoteApproved].lines)


def order_line(quote: QuoteApproved, line: QuoteLine) -> OrderLine:
    """The order line of a quote line; its id is derived from both."""
    return OrderLine(
        order_line_id=f"{order_of(quote)}/{line.line_id}",
        quote_line_id=line.line_id,
        **line.model_dump(exclude={"line_id", "parent_line_id"}),
    )


def validate_quote(received: Received) -> ValidateQuote:
    """Everything that the ERP must know before anything is written."""
    quote = received[QuoteApproved]
    return ValidateQuote(
        quote_id=quote.quote_id,
        customer_id=quote.customer_id,
        legal_entity=quote.legal_entity,
        currency=quote.currency,
        payment_terms=quote.payment_terms,
        lines=quote.lines,
    )


def create_order(received: Received) -> CreateOrder:
    """The whole quote as one order."""
    quote = received[QuoteApproved]
    return CreateOrder(
        order_id=order_of(quote),
        quote_id=quote.quote_id,
        customer_id=quote.customer_id,
        legal_entity=quote.legal_entity,
        currency=quote.currency,
        bill_to=quote.bill_to,
        ship_to=quote.ship_to,
        purchase_order_number=quote.purchase_order_number,
        payment_terms=quote.payment_terms,
        lines=tuple(order_line(quote, line) for line in quote.lines),
    )


def cancel_order(received: Received) -> CancelOrder:
    """Undoes create_order."""
    quote = received[QuoteApproved]
    return CancelOrder(order_id=order_of(quote), legal_entity=quote.legal_entity, reason="billing refused the subscription")


def start_subscription(received: Received) -> StartSubscription:
    """The lines that billing charges."""
    quote = received[QuoteApproved]
    return StartSubscription(
        subscription_id=subscription_of(quote),
        order_id=order_of(quote),
        contract_id=contract_of(quote),
        customer_id=quote.customer_id,
        legal_entity=quote.legal_entity,
        currency=quote.currency,
        bill_to=quote.bill_to,
        payment_terms=quote.payment_terms,
        lines=tuple(order_line(quote, line) for line in quote.lines if is_recurring(line)),
    )


def cancel_subscription(received: Received) -> CancelSubscription:
    """Undoes start_subscription."""
    quote = received[QuoteApproved]
    return CancelSubscription(subscription_id=subscription_of(quote), order_id=order_of(quote), reason="the order is taken back")


def activate_order(received: Received) -> ActivateOrder:
    """From here on the ERP cannot cancel."""
    quote = received[QuoteApproved]
    return ActivateOrder(order_id=order_of(quote), legal_entity=quote.legal_entity)


def contract_activated(received: Received) -> ContractActivated:
    """The contract is in force with the order."""
    quote = received[QuoteApproved]
    ends = [line.ends_on for line in quote.lines if is_recurring(line)]
    subscription = received.get(SubscriptionActivated)
    return ContractActivated(
        contract_id=contract_of(quote),
        quote_id=quote.quote_id,
        order_id=order_of(quote),
        customer_id=quote.customer_id,
        legal_entity=quote.legal_entity,
        currency=quote.currency,
        subscription_id=subscription.subscription_id if subscription else None,
        starts_on=min(line.starts_on for line in quote.lines),
        ends_on=max((end for end in ends if end), default=None) if all(ends) else None,
        total_amount=sum((line.quantity * line.unit_price for line in quote.lines), start=quote.lines[0].quantity * 0),
        aggregate_version=received[OrderActivated].aggregate_version,
    )


def grant_entitlements(received: Received) -> GrantEntitlements:
    """Support for every line, all at once."""
    quote = received[QuoteApproved]
    contract = contract_of(quote)
    return GrantEntitlements(
        contract_id=contract,
        order_id=order_of(quote),
        customer_id=quote.customer_id,
        lines=tuple(
            EntitlementLine(
                entitlement_id=deterministic_id("entitlement", contract, line.line_id),
                product_id=line.product_id,
                level="standard",
                quantity=line.quantity,
                starts_on=line.starts_on,
                ends_on=line.ends_on,
            )
            for line in quote.lines
        ),
    )


def start_onboarding(received: Received) -> StartOnboarding:
    """Customer success begins with the contract."""
    quote = received[QuoteApproved]
    return StartOnboarding(
        contract_id=contract_of(quote),
        order_id=order_of(quote),
        customer_id=quote.customer_id,
        plan="recurring" if has_recurring_lines(received) else "one-off",
        starts_on=min(line.starts_on for line in quote.lines),
        product_ids=tuple(line.product_id for line in quote.lines),
    )


QUOTE_TO_ACTIVATION = Process(
    name="quote-to-activation",
    version=1,
    owner="revenue-operations",
    starts=on(QuoteApproved, quote_of),
    sync_window=timedelta(minutes=15),
    steps=(
        Step("validate", validate_quote, deadline=timedelta(minutes=2)),
        Step("book order", create_order, undone_by=cancel_order, deadline=timedelta(minutes=5)),
        Step(
            "start subscription",
            start_subscription,
            undone_by=cancel_subscription,
            when=has_recurring_lines,
            refusal=Refusal.COMPENSATE,
            deadline=timedelta(minutes=5),
            owner="billing-operations",
        ),
        Step("activate order", activate_order, irreversible=True, deadline=timedelta(minutes=5)),
        Publish("publish", contract_activated),
        parallel(
            Step("entitlements", grant_entitlements, deadline=timedelta(hours=1), owner="support-operations"),
            Step("onboarding", start_onboarding, deadline=timedelta(hours=1), owner="customer-success-operations"),
        ),
    ),
)
