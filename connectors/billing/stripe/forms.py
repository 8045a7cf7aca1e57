"""Parameters as Stripe's SDK takes them. Pure; the client calls it."""

from __future__ import annotations

from decimal import Decimal

from stripe.params import PriceCreateParams, SubscriptionCreateParams, SubscriptionCreateParamsItem, TaxRateCreateParams

from connectors.billing.stripe.records import TAX_CODE, NewItem, NewSubscription, PriceTerms


def price_form(terms: PriceTerms) -> PriceCreateParams:
    """`POST /v1/prices`. Amounts go as decimal text, exact."""
    return {
        "lookup_key": terms.lookup_key,
        "product": terms.product,
        "currency": terms.currency,
        "unit_amount_decimal": plain(terms.unit_amount),
        "tax_behavior": "exclusive",
        "recurring": {"interval": terms.interval, "interval_count": terms.interval_count, "usage_type": terms.usage_type},
        "metadata": dict(terms.metadata),
    }


def tax_rate_form(code: str, percentage: Decimal) -> TaxRateCreateParams:
    """`POST /v1/tax_rates`; the percentage as a fraction, e.g. 0.25 for 25 %."""
    return {"display_name": code, "inclusive": False, "percentage": float(percentage * 100), "metadata": {TAX_CODE: code}}


def subscription_form(new: NewSubscription) -> SubscriptionCreateParams:
    """`POST /v1/subscriptions`. A charge that is declined must leave nothing: by default Stripe would leave an incomplete subscription."""
    when = int(new.starts_at.timestamp())
    form: SubscriptionCreateParams = {
        "customer": new.customer,
        "items": [_item(item) for item in new.items],
        "metadata": dict(new.metadata),
    }
    if new.starts_later:
        form["trial_end"] = when
    else:
        form["backdate_start_date"] = when
    if new.days_until_due is None:
        form["collection_method"], form["payment_behavior"] = "charge_automatically", "error_if_incomplete"
    else:
        form["collection_method"], form["days_until_due"] = "send_invoice", new.days_until_due
    return form


def _item(item: NewItem) -> SubscriptionCreateParamsItem:
    made: SubscriptionCreateParamsItem = {"price": item.price, "tax_rates": [item.tax_rate], "metadata": dict(item.metadata)}
    if item.quantity is not None:
        made["quantity"] = item.quantity
    return made


def plain(amount: Decimal) -> Decimal:
    """The same number, whose text has neither an exponent nor trailing zeros."""
    return Decimal(format(amount.normalize(), "f"))
