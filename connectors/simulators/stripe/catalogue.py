"""Customers, products, prices and plans of the Stripe simulator."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

from connectors.simulators.exchange import Answer, Call, JsonObject
from connectors.simulators.stripe.errors import invalid, missing
from connectors.simulators.stripe.objects import (
    CUSTOMER,
    PLAN,
    PRICE,
    PRODUCT,
    TAX_RATE,
    Kind,
    add,
    changed,
    checked,
    external_id,
    fetch,
    require,
)

_INTERVALS = frozenset({"day", "week", "month", "year"})


def create_simple(kind: Kind, call: Call) -> Answer:
    """`POST /v1/customers` and `/v1/products`: a chosen `id` is unique; metadata is not, as with Stripe."""
    parameters = checked(call, kind)
    call.concerns(kind.name, external_id(parameters))
    require(parameters, kind)
    chosen_id = parameters.pop("id", None)
    return Answer(200, add(call, kind, {**kind.parameters, **parameters}, chosen_id=chosen_id))


def update_object(kind: Kind, call: Call) -> Answer:
    """`POST /v1/<plural>/<id>`: metadata is merged, the rest replaced."""
    record = fetch(call, kind, call.parts["id"])
    call.concerns(kind.name, record.external_id)
    body = changed(record, {name: value for name, value in checked(call, kind).items() if name != "id"})
    call.store.replace(record, body)
    return Answer(200, body)


def attach_payment_method(call: Call) -> Answer:
    """`POST /v1/payment_methods/<id>/attach`: Stripe's test cards, which keep their names here (Stripe makes a new one of each)."""
    customer = fetch(call, CUSTOMER, str(call.body.get("customer")), param="customer")
    call.concerns(CUSTOMER.name, customer.external_id)
    return Answer(200, {"id": call.parts["id"], "object": "payment_method", "customer": customer.id, "livemode": False, "type": "card"})


def create_tax_rate(call: Call) -> Answer:
    """`POST /v1/tax_rates`: the percentage is a number, as everywhere with Stripe."""
    parameters = checked(call, TAX_RATE)
    call.concerns(TAX_RATE.name, parameters.get("display_name"))
    require(parameters, TAX_RATE)
    try:
        percentage = float(parameters["percentage"])
    except ValueError as problem:
        raise invalid("parameter_invalid_decimal", "Invalid decimal: percentage", "percentage") from problem
    return Answer(200, add(call, TAX_RATE, {**TAX_RATE.parameters, **parameters, "percentage": percentage}))


def create_price(call: Call) -> Answer:
    """`POST /v1/prices`: `lookup_key` is unique; `transfer_lookup_key` takes it from the price that has it."""
    parameters = checked(call, PRICE)
    call.concerns(PRICE.name, external_id(parameters))
    return Answer(200, new_price(call, parameters, where=""))


def create_plan(call: Call) -> Answer:
    """`POST /v1/plans`: a chosen `id` is unique; `product` is an id, or an object with which one is made."""
    parameters = checked(call, PLAN)
    call.concerns(PLAN.name, external_id(parameters))
    require(parameters, PLAN)
    amount, amount_decimal = _amounts(parameters.get("amount"), parameters.get("amount_decimal"), "amount")
    product = parameters["product"]
    if isinstance(product, dict):
        parameters["product"] = add(call, PRODUCT, {**PRODUCT.parameters, **product}, chosen_id=product.pop("id", None))["id"]
    else:
        fetch(call, PRODUCT, product, param="product")
    _check_interval(parameters["interval"], "interval")
    chosen_id = parameters.pop("id", None)
    body = {**PLAN.parameters, **parameters, "amount": amount, "amount_decimal": amount_decimal}
    return Answer(200, add(call, PLAN, body, chosen_id=chosen_id))


def new_price(call: Call, parameters: JsonObject, *, where: str) -> JsonObject:
    """Store a price.

    Args:
        call: the request.
        parameters: of the price.
        where: the parameter that they stand in, for errors; empty for the request itself.

    Raises:
        RefusedError: they are not those of a price, or the lookup key is taken.
    """
    require(parameters, PRICE)
    unit_amount, unit_amount_decimal = _amounts(parameters.get("unit_amount"), parameters.get("unit_amount_decimal"), f"{where}unit_amount")
    given = parameters.get("product_data")
    if isinstance(given, dict):
        product = add(call, PRODUCT, {**PRODUCT.parameters, **given}, chosen_id=given.pop("id", None))["id"]
    else:
        product = fetch(call, PRODUCT, str(parameters.get("product")), param="product").id
    recurring = parameters.get("recurring")
    if recurring:
        _check_interval(recurring.get("interval"), "recurring[interval]")
        recurring = {"interval_count": 1, "usage_type": "licensed", "meter": None, **recurring}
    lookup_key = parameters.get("lookup_key")
    if lookup_key and parameters.get("transfer_lookup_key"):
        _release_lookup_key(call, lookup_key)
    body = {**PRICE.parameters, **parameters, "product": product, "recurring": recurring, "type": "recurring" if recurring else "one_time"}
    body |= {"unit_amount": unit_amount, "unit_amount_decimal": unit_amount_decimal}
    for name in ("product_data", "transfer_lookup_key"):
        body.pop(name, None)
    return add(call, PRICE, body, unique_key=lookup_key)


def find_price(call: Call, price_id: str, *, param: str) -> JsonObject:
    """A price by its id; a plan shows itself as a price.

    Raises:
        RefusedError: neither is there.
    """
    price = call.store.get(PRICE.name, price_id)
    if price is not None:
        return price.body
    plan = call.store.get(PLAN.name, price_id)
    if plan is None:
        raise missing(PRICE.name, price_id, status=400, param=param)
    body = plan.body
    recurring = {"interval": body["interval"], "interval_count": body["interval_count"], "usage_type": body["usage_type"], "meter": None}
    shown = {name: body[name] for name in ("id", "created", "livemode", "active", "currency", "metadata", "nickname", "product")}
    return {
        **shown,
        "object": PRICE.name,
        "type": "recurring",
        "recurring": recurring,
        "unit_amount": body["amount"],
        "unit_amount_decimal": body["amount_decimal"],
        "lookup_key": None,
    }


def _release_lookup_key(call: Call, lookup_key: str) -> None:
    holder = call.store.by_unique_key(PRICE.name, lookup_key)
    if holder is not None:
        call.store.replace(holder, {**holder.body, "lookup_key": None}, unique_key=f"transferred:{holder.id}")


def _check_interval(interval: Any, param: str) -> None:
    if interval not in _INTERVALS:
        raise invalid("parameter_invalid_enum", f"Invalid {param}: must be one of day, month, week, or year", param)


def _amounts(whole: Any, exact: Any, param: str) -> tuple[int | None, str]:
    """Minor units as a whole number (None where they are not whole) and as an exact decimal, up to twelve places."""
    given = exact if exact is not None else whole
    try:
        amount = Decimal(str(given))
    except InvalidOperation as problem:
        raise invalid("parameter_missing", f"Missing required param: {param} or {param}_decimal.", param) from problem
    shown = int(amount) if amount == amount.to_integral_value() else None
    return shown, format(amount.normalize(), "f")
