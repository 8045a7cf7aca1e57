"""Whose card is charged in the Stripe simulator, and what becomes of that: Stripe's own test cards behave as Stripe says they do."""

from __future__ import annotations

from connectors.simulators.exchange import JsonObject, RefusedError
from connectors.simulators.stripe.errors import error

DECLINED_METHODS = frozenset({"pm_card_chargeDeclined", "pm_card_visa_chargeDeclined", "pm_card_chargeCustomerFail"})
DISPUTED_METHOD = "pm_card_createDispute"
"""Its charges succeed, and are disputed at once."""


def payment_method(subscription: JsonObject, customer: JsonObject) -> str | None:
    """The subscription's own method, else the customer's; None where there is none."""
    settings = customer.get("invoice_settings") or {}
    methods = (
        subscription.get("default_payment_method"),
        settings.get("default_payment_method"),
        customer.get("payment_method"),
        customer["metadata"].get("payment_method"),
    )
    return next((each for each in methods if each), None)


def no_payment_method() -> RefusedError:
    """400: there is nothing to charge."""
    message = "This customer has no attached payment source or default payment method. Please consider adding a default payment method."
    return RefusedError(error(400, "invalid_request_error", message, code="resource_missing"))
