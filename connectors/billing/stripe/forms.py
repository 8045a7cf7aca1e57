"""Request bodies as Stripe takes them: bracketed form fields. Pure; the client calls it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal

from connectors.billing.stripe.records import TAX_CODE, NewItem, NewSubscription, PriceTerms


def price_form(terms: PriceTerms) -> dict[str, str]:
    """`POST /v1/prices`. Amounts go as decimal text, exact."""
    return {
        "lookup_key": terms.lookup_key,
        "product": terms.product,
        "currency": terms.currency,
        "unit_amount_decimal": _plain(terms.unit_amount),
        "tax_behavior": "exclusive",
        "recurring[interval]": terms.interval,
        "recurring[interval_count]": str(terms.interval_count),
        "recurring[usage_type]": terms.usage_type,
        **_metadata("metadata", terms.metadata),
    }


def tax_rate_form(code: str, percentage: Decimal) -> dict[str, str]:
    """`POST /v1/tax_rates`; the percentage as a fraction, e.g. 0.25 for 25 %."""
    return {"display_name": code, "inclusive": "false", "percentage": _plain(percentage * 100), **_metadata("metadata", {TAX_CODE: code})}


def subscription_form(new: NewSubscription) -> dict[str, str]:
    """`POST /v1/subscriptions`. A charge that is declined must leave nothing: by default Stripe would leave an incomplete subscription."""
    when = str(int(new.starts_at.timestamp()))
    return {
        "customer": new.customer,
        **dict(field for number, item in enumerate(new.items) for field in _item(number, item)),
        **({"trial_end": when} if new.starts_later else {"backdate_start_date": when}),
        **_charging(new.days_until_due),
        **_metadata("metadata", new.metadata),
    }


def _charging(days_until_due: int | None) -> dict[str, str]:
    if days_until_due is None:
        return {"collection_method": "charge_automatically", "payment_behavior": "error_if_incomplete"}
    return {"collection_method": "send_invoice", "days_until_due": str(days_until_due)}


def _item(number: int, item: NewItem) -> Iterator[tuple[str, str]]:
    yield f"items[{number}][price]", item.price
    if item.quantity is not None:
        yield f"items[{number}][quantity]", str(item.quantity)
    yield f"items[{number}][tax_rates][0]", item.tax_rate
    yield from _metadata(f"items[{number}][metadata]", item.metadata).items()


def _metadata(name: str, metadata: Mapping[str, str]) -> dict[str, str]:
    return {f"{name}[{key}]": value for key, value in metadata.items()}


def _plain(amount: Decimal) -> str:
    """Without an exponent or trailing zeros."""
    return format(amount.normalize(), "f")
