"""Order lines as plans with whole amounts, which is all that localstripe charges by. Pure; its client and actions call it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from stripe.params import PlanCreateParams, SubscriptionCreateParams, SubscriptionCreateParamsItem

from connectors.billing.stripe.money import minor_units
from connectors.billing.stripe.records import Customer, Identified, NewItem, NewSubscription
from connectors.billing.stripe.translate import is_metered, line_metadata, line_problems, new_item, price_terms
from integration_fabric.messages.orders import OrderLine
from integration_fabric.messages.problems import Problem
from integration_fabric.messages.subscriptions import StartSubscription


class Plan(Identified):
    """One plan. Its amount never changes."""

    product: str
    currency: str
    amount: int
    interval: str
    interval_count: int
    usage_type: str
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PlanTerms:
    """A plan to be there."""

    order_line_id: str
    product: str
    currency: str
    """In lower case."""
    amount: int
    """In minor units, for one unit or, where that is not whole, for all of them at once."""
    interval: str
    interval_count: int
    usage_type: str
    metadata: Mapping[str, str]

    def is_that_of(self, plan: Plan) -> bool:
        """Whether a plan charges this, and says so on invoices."""
        mine = (self.product, self.currency, self.amount, self.interval, self.interval_count, self.usage_type)
        charged = (plan.product, plan.currency, plan.amount, plan.interval, plan.interval_count, plan.usage_type)
        return mine == charged and self.metadata.items() <= plan.metadata.items()


def unbillable_there(command: StartSubscription, payer: Customer | None, tax_rates: Mapping[str, str]) -> tuple[Problem, ...]:
    """Everything that localstripe could not charge as it was sold; arguments as `translate.unbillable` takes them."""
    return tuple(_problems(command, payer, tax_rates))


def _problems(command: StartSubscription, payer: Customer | None, tax_rates: Mapping[str, str]) -> Iterator[Problem]:
    yield from line_problems(command, tax_rates)
    if payer is None or payer.invoice_settings.default_payment_method is None:
        hint = f"this billing cannot send invoices, and {command.bill_to} has no payment method in it; add one"
        yield Problem(entity="customer", id=command.bill_to, field="bill_to", code="no-payment-method", hint=hint)


def plan_terms(command: StartSubscription, line: OrderLine, *, correlation: str) -> PlanTerms:
    """The plan of a line that is billable. What is not whole is rounded once, in the sum, half up as Stripe does."""
    price = price_terms(command, line, correlation=correlation)
    metadata = line_metadata(command, line, correlation=correlation)
    amount = price.unit_amount
    if _is_one_sum(command, line):
        amount = minor_units(line.quantity * line.unit_price, command.currency)
        metadata |= {"quantity": format(line.quantity.normalize(), "f"), "unit_price": format(line.unit_price.normalize(), "f")}
    return PlanTerms(
        order_line_id=line.order_line_id,
        product=line.product_id,
        currency=price.currency,
        amount=int(amount.quantize(Decimal(1), ROUND_HALF_UP)),
        interval=price.interval,
        interval_count=price.interval_count,
        usage_type=price.usage_type,
        metadata=metadata,
    )


def plan_item(command: StartSubscription, line: OrderLine, plan: str, tax_rate: str) -> NewItem:
    """The item of a billable line: one of the plan where that is for all units at once."""
    item = new_item(line, plan, tax_rate)
    return NewItem(plan, 1 if _is_one_sum(command, line) else item.quantity, tax_rate, item.metadata)


def _is_one_sum(command: StartSubscription, line: OrderLine) -> bool:
    unit_amount = minor_units(line.unit_price, command.currency)
    return not is_metered(line) and unit_amount != unit_amount.to_integral_value()


def plan_form(terms: PlanTerms, identity: str) -> PlanCreateParams:
    """`POST /v1/plans`."""
    return {
        "id": identity,
        "product": terms.product,
        "currency": terms.currency,
        "amount": terms.amount,
        "interval": terms.interval,
        "interval_count": terms.interval_count,
        "usage_type": terms.usage_type,
        "metadata": dict(terms.metadata),
    }


def plan_subscription_form(new: NewSubscription) -> SubscriptionCreateParams:
    """`POST /v1/subscriptions`, charged by card. A charge that is declined leaves nothing."""
    when = int(new.starts_at.timestamp())
    form: SubscriptionCreateParams = {
        "customer": new.customer,
        "items": [_item(item) for item in new.items],
        "metadata": dict(new.metadata),
        "payment_behavior": "error_if_incomplete",
    }
    if new.starts_later:
        form["trial_end"] = when
    else:
        form["backdate_start_date"] = when
    return form


def _item(item: NewItem) -> SubscriptionCreateParamsItem:
    made: SubscriptionCreateParamsItem = {"plan": item.price, "tax_rates": [item.tax_rate], "metadata": dict(item.metadata)}
    if item.quantity is not None:
        made["quantity"] = item.quantity
    return made
