"""Subscriptions of the Stripe simulator: creation with its charge, change, cancellation, and the events about them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.simulators.clock import unix_s
from connectors.simulators.exchange import Answer, Call, Event, JsonObject, new_event_id
from connectors.simulators.store import Record
from connectors.simulators.stripe.catalogue import find_price, new_price
from connectors.simulators.stripe.errors import declined, invalid, missing
from connectors.simulators.stripe.objects import CUSTOMER, SUBSCRIPTION, add, changed, checked, external_id, fetch, require

DECLINED_METHODS = frozenset({"pm_card_chargeDeclined", "pm_card_visa_chargeDeclined", "pm_card_chargeCustomerFail"})
_INCOMPLETE = frozenset({"allow_incomplete", "default_incomplete"})
_DAYS = {"day": 1, "week": 7, "month": 30, "year": 365}


def create_subscription(call: Call) -> Answer:
    """`POST /v1/subscriptions`: active at once; 402 where the payment method is one that is declined."""
    parameters = checked(call, SUBSCRIPTION)
    call.concerns(SUBSCRIPTION.name, external_id(parameters))
    require(parameters, SUBSCRIPTION)
    customer = fetch(call, CUSTOMER, parameters["customer"], param="customer")
    items = [_item(call, each, number) for number, each in enumerate(_listed(parameters["items"]))]
    status = _charge(parameters, customer)
    start = int(parameters.get("backdate_start_date") or unix_s())
    body = {
        **SUBSCRIPTION.parameters,
        **parameters,
        "metadata": parameters.get("metadata") or {},
        "status": status,
        "currency": parameters.get("currency") or items[0]["price"]["currency"],
        "items": {"object": "list", "data": items, "has_more": False, "total_count": len(items)},
        "start_date": start,
        "current_period_start": start,
        "current_period_end": _period_end(start, items[0]),
        "canceled_at": None,
        "ended_at": None,
        "latest_invoice": None,
    }
    subscription = add(call, SUBSCRIPTION, body)
    _emit(call, "customer.subscription.created", subscription)
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
    _emit(call, "customer.subscription.updated", subscription)
    return Answer(200, subscription)


def cancel_subscription(call: Call) -> Answer:
    """`DELETE /v1/subscriptions/<id>`: canceled at once; one that is canceled already is not found, as Stripe has it."""
    record = _live(call)
    at = int(unix_s())
    details = call.body.get("cancellation_details")
    subscription = {**record.body, "status": "canceled", "canceled_at": at, "ended_at": at, "cancellation_details": details}
    call.store.replace(record, subscription)
    _emit(call, "customer.subscription.deleted", subscription)
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
    return (
        {} if item is None else {"id": item["id"], "price": item["price"]["id"], "quantity": item["quantity"], "metadata": item["metadata"]}
    )


def _item(call: Call, given: JsonObject, number: int) -> JsonObject:
    where = f"items[{number}]"
    if isinstance(given.get("price_data"), dict):
        price = new_price(call, given["price_data"], where=f"{where}[price_data]")
    elif given.get("price") or given.get("plan"):
        price = find_price(call, given.get("price") or given["plan"], param=f"{where}[price]")
    else:
        raise invalid("parameter_missing", f"Missing required param: {where}[price].", f"{where}[price]")
    return {
        "id": given.get("id") or f"si_{call.store.next_number('subscription_item'):014d}",
        "object": "subscription_item",
        "price": price,
        "quantity": given.get("quantity", 1),
        "metadata": given.get("metadata") or {},
    }


def _charge(parameters: JsonObject, customer: Record) -> str:
    if parameters.get("collection_method") == "send_invoice":
        return "active"
    settings = customer.body.get("invoice_settings") or {}
    methods = (
        parameters.get("default_payment_method"),
        settings.get("default_payment_method"),
        customer.body.get("payment_method"),
        customer.body["metadata"].get("payment_method"),
    )
    method = next((each for each in methods if each), None)
    if method not in DECLINED_METHODS:
        return "active"
    if parameters.get("payment_behavior") in _INCOMPLETE:
        return "incomplete"
    raise declined("default_payment_method")


def _period_end(start: int, item: JsonObject) -> int:
    recurring = item["price"].get("recurring") or {}
    days = _DAYS.get(recurring.get("interval", "month"), 30) * int(recurring.get("interval_count") or 1)
    return int((datetime.fromtimestamp(start, tz=UTC) + timedelta(days=days)).timestamp())


def _emit(call: Call, event_type: str, subscription: JsonObject) -> None:
    event_id = new_event_id("evt_")
    request = {"id": None, "idempotency_key": call.headers.get("idempotency-key")}
    payload = {
        "id": event_id,
        "object": "event",
        "type": event_type,
        "created": int(unix_s()),
        "livemode": False,
        "data": {"object": subscription},
        "request": request,
    }
    call.emit(Event(event_id, event_type, subscription["id"], payload))
