"""Subscriptions of the Stripe simulator: creation with its charge, change, cancellation, and the events about them."""

from __future__ import annotations

from typing import Any

from connectors.simulators.clock import unix_s
from connectors.simulators.exchange import Answer, Call, JsonObject
from connectors.simulators.store import Record
from connectors.simulators.stripe.cards import DECLINED_METHODS, no_payment_method, payment_method
from connectors.simulators.stripe.catalogue import find_price, new_price
from connectors.simulators.stripe.errors import declined, invalid, missing
from connectors.simulators.stripe.events import emit
from connectors.simulators.stripe.forms import parse_pairs
from connectors.simulators.stripe.invoices import first_invoice, is_charged, period_end
from connectors.simulators.stripe.objects import (
    CUSTOMER,
    SUBSCRIPTION,
    TAX_RATE,
    add,
    changed,
    checked,
    external_id,
    fetch,
    new_id,
    require,
)

_INCOMPLETE = frozenset({"allow_incomplete", "default_incomplete"})


def create_subscription(call: Call) -> Answer:
    """`POST /v1/subscriptions`: active at once; 402 where the payment method is one that is declined."""
    parameters = checked(call, SUBSCRIPTION)
    call.concerns(SUBSCRIPTION.name, external_id(parameters))
    require(parameters, SUBSCRIPTION)
    customer = fetch(call, CUSTOMER, parameters["customer"], param="customer")
    items = [_item(call, each, number) for number, each in enumerate(_listed(parameters["items"]))]
    now = int(unix_s())
    start = int(parameters.get("backdate_start_date") or now)
    begins = max(start, int(parameters.get("trial_end") or 0))
    status = _charge(parameters, customer, charged=begins <= now and any(map(is_charged, items)))
    body = {
        **SUBSCRIPTION.parameters,
        **parameters,
        "metadata": parameters.get("metadata") or {},
        "status": status,
        "currency": parameters.get("currency") or items[0]["price"]["currency"],
        "items": {"object": "list", "data": items, "has_more": False, "total_count": len(items)},
        "start_date": start,
        "current_period_start": start,
        "current_period_end": period_end(start, items[0]) if begins == start else begins,
        "canceled_at": None,
        "ended_at": None,
        "latest_invoice": None,
    }
    subscription = add(call, SUBSCRIPTION, body)
    emit(call, "customer.subscription.created", subscription)
    if begins <= now and any(map(is_charged, items)):
        subscription = first_invoice(call, subscription, customer)
    return Answer(200, subscription)


def update_subscription(call: Call) -> Answer:
    """`POST /v1/subscriptions/<id>`: metadata is merged; `items` with an `id` changes that item, without one adds it."""
    record = _live(call)
    parameters = checked(call, SUBSCRIPTION)
    items = {item["id"]: item for item in record.body["items"]["data"]}
    for number, each in enumerate(_listed(parameters.pop("items", []))):
        if each.get("deleted") in (True, "true"):
            items.pop(each.get("id"), None)
        else:
            item = _item(call, {**_as_given(items.get(each.get("id"))), **each}, number)
            items[item["id"]] = item
    listed = {**record.body["items"], "data": list(items.values()), "total_count": len(items)}
    subscription = {**changed(record, parameters), "items": listed}
    call.store.replace(record, subscription)
    emit(call, "customer.subscription.updated", subscription)
    return Answer(200, subscription)


def cancel_subscription(call: Call) -> Answer:
    """`DELETE /v1/subscriptions/<id>`: canceled at once; one that is canceled already is not found, as Stripe has it."""
    record = _live(call)
    at = int(unix_s())
    given = call.body or parse_pairs(call.query)
    details = given.get("cancellation_details")
    subscription = {**record.body, "status": "canceled", "canceled_at": at, "ended_at": at, "cancellation_details": details}
    call.store.replace(record, subscription)
    emit(call, "customer.subscription.deleted", subscription)
    return Answer(200, subscription)


def _live(call: Call) -> Record:
    record = fetch(call, SUBSCRIPTION, call.parts["id"])
    call.concerns(SUBSCRIPTION.name, record.external_id)
    if record.body["status"] == "canceled":
        raise missing(SUBSCRIPTION.name, record.id, status=404)
    return record


def _listed(items: Any) -> list[JsonObject]:
    if not isinstance(items, list) or not all(isinstance(each, dict) for each in items):
        raise invalid("parameter_invalid_array", "Invalid array: items", "items")
    return items


def _as_given(item: JsonObject | None) -> JsonObject:
    if item is None:
        return {}
    given = {name: item[name] for name in ("id", "quantity", "metadata")}
    return {**given, "price": item["price"]["id"], "tax_rates": [rate["id"] for rate in item["tax_rates"]]}


def _item(call: Call, given: JsonObject, number: int) -> JsonObject:
    where = f"items[{number}]"
    if isinstance(given.get("price_data"), dict):
        price = new_price(call, given["price_data"], where=f"{where}[price_data]")
    elif given.get("price") or given.get("plan"):
        price = find_price(call, given.get("price") or given["plan"], param=f"{where}[price]")
    else:
        raise invalid("parameter_missing", f"Missing required param: {where}[price].", f"{where}[price]")
    return {
        "id": given.get("id") or new_id("si"),
        "object": "subscription_item",
        "price": price,
        "quantity": given.get("quantity", 1),
        "metadata": given.get("metadata") or {},
        "tax_rates": [
            fetch(call, TAX_RATE, rate, param=f"{where}[tax_rates][{at}]").body for at, rate in enumerate(given.get("tax_rates") or [])
        ],
    }


def _charge(parameters: JsonObject, customer: Record, *, charged: bool) -> str:
    """The state that it begins in; refused where its first payment must not fail, and would."""
    if parameters.get("collection_method") == "send_invoice" or not charged:
        return "active" if charged or int(parameters.get("trial_end") or 0) <= unix_s() else "trialing"
    method = payment_method(parameters, customer.body)
    if method is None:
        raise no_payment_method()
    if method not in DECLINED_METHODS:
        return "active"
    if parameters.get("payment_behavior") in _INCOMPLETE:
        return "incomplete"
    raise declined("default_payment_method")
