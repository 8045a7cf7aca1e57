"""Invoices of the Stripe simulator: made of a subscription's items, finalised, paid or not, voided; in the shape of 2024-06-20.

On Stripe's own servers it is time that bills the next period; here whoever asks for an invoice of a subscription gets that of its next.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal

from connectors.simulators.clock import unix_s
from connectors.simulators.exchange import Answer, Call, JsonObject
from connectors.simulators.store import Record
from connectors.simulators.stripe.cards import payment_method
from connectors.simulators.stripe.errors import invalid, refused
from connectors.simulators.stripe.events import emit
from connectors.simulators.stripe.objects import CUSTOMER, INVOICE, PRODUCT, SUBSCRIPTION, add, checked, fetch, new_id, require
from connectors.simulators.stripe.payments import collect

_DAYS = {"day": 1, "week": 7, "month": 30, "year": 365}
_DAY_S = 86_400


def first_invoice(call: Call, subscription: JsonObject, customer: Record) -> JsonObject:
    """Bill the period in which a subscription begins: sent, or collected at once. Returns the subscription as it is then."""
    begins = max(subscription["start_date"], int(subscription.get("trial_end") or 0))
    invoice = _draft(call, subscription, begins=begins, reason="subscription_create")
    invoice = _finalised(call, invoice)
    if invoice["collection_method"] == "charge_automatically":
        invoice, _ = collect(call, invoice, payment_method(subscription, customer.body))
    record = fetch(call, SUBSCRIPTION, subscription["id"])
    return call.store.replace(record, {**record.body, "latest_invoice": invoice["id"]}).body


def create_invoice(call: Call) -> Answer:
    """`POST /v1/invoices`: a draft of what the subscription's next period costs."""
    parameters = checked(call, INVOICE)
    require(parameters, INVOICE)
    fetch(call, CUSTOMER, parameters["customer"], param="customer")
    if not parameters.get("subscription"):
        raise invalid("parameter_missing", "Missing required param: subscription.", "subscription")
    record = fetch(call, SUBSCRIPTION, parameters["subscription"], param="subscription")
    if record.body["customer"] != parameters["customer"] or record.body["status"] == "canceled":
        raise refused("This subscription is not one of the customer's, or has ended.", "subscription")
    if not any(map(is_charged, record.body["items"]["data"])):
        raise refused("Nothing to invoice for subscription", "subscription", code="invoice_no_subscription_line_items")
    never_billed = record.body["latest_invoice"] is None
    begins = int(record.body.get("trial_end") or 0) if never_billed else record.body["current_period_end"]
    begins = begins or record.body["start_date"]
    invoice = _draft(call, record.body, begins=begins, reason="manual", metadata=parameters.get("metadata"))
    ends = max(line["period"]["end"] for line in invoice["lines"]["data"])
    moved = {"latest_invoice": invoice["id"], "current_period_start": begins, "current_period_end": ends}
    call.store.replace(record, {**record.body, **moved})
    return Answer(200, invoice)


def finalise_invoice(call: Call) -> Answer:
    """`POST /v1/invoices/<id>/finalize`: nobody collects it by itself."""
    record = fetch(call, INVOICE, call.parts["id"])
    if record.body["status"] != "draft":
        raise refused("This invoice is already finalized, you can't re-finalize a non-draft invoice.", "id", code="invoice_not_editable")
    return Answer(200, _finalised(call, record.body))


def pay_invoice(call: Call) -> Answer:
    """`POST /v1/invoices/<id>/pay`: with the method that is named, else with the payer's; 402 where that is declined."""
    record = fetch(call, INVOICE, call.parts["id"])
    invoice = record.body
    if invoice["status"] == "draft":
        invoice = _finalised(call, invoice)
    if invoice["status"] != "open":
        raise refused(f"Invoice is {invoice['status']}", "id", code="invoice_not_editable")
    customer = fetch(call, CUSTOMER, invoice["customer"])
    subscription = fetch(call, SUBSCRIPTION, invoice["subscription"]).body
    method = call.body.get("payment_method") or payment_method(subscription, customer.body)
    invoice, problem = collect(call, invoice, method)
    return problem or Answer(200, invoice)


def void_invoice(call: Call) -> Answer:
    """`POST /v1/invoices/<id>/void`: of one that is open."""
    record = fetch(call, INVOICE, call.parts["id"])
    if record.body["status"] not in {"open", "uncollectible"}:
        raise refused(f"You can't void an invoice that is {record.body['status']}.", "id", code="invoice_not_editable")
    moved = {**record.body["status_transitions"], "voided_at": int(unix_s())}
    invoice = call.store.replace(record, {**record.body, "status": "void", "status_transitions": moved}).body
    emit(call, "invoice.voided", invoice)
    return Answer(200, invoice)


def is_charged(item: JsonObject) -> bool:
    """Whether an item costs something in advance; metered ones cost what was used, afterwards."""
    recurring = item["price"].get("recurring") or {}
    return recurring.get("usage_type") != "metered" and Decimal(item["price"]["unit_amount_decimal"]) * int(item["quantity"]) > 0


def period_end(start: int, item: JsonObject) -> int:
    """When a period of an item ends that begins at `start`."""
    recurring = item["price"].get("recurring") or {}
    days = _DAYS.get(recurring.get("interval", "month"), 30) * int(recurring.get("interval_count") or 1)
    return int((datetime.fromtimestamp(start, tz=UTC) + timedelta(days=days)).timestamp())


def _draft(call: Call, subscription: JsonObject, *, begins: int, reason: str, metadata: JsonObject | None = None) -> JsonObject:
    lines = [_line(call, item, subscription, begins) for item in subscription["items"]["data"] if is_charged(item)]
    subtotal = sum(line["amount"] for line in lines)
    taxes = [tax for line in lines for tax in line["tax_amounts"]]
    tax = sum(each["amount"] for each in taxes if not each["inclusive"])
    body = {
        "customer": subscription["customer"],
        "subscription": subscription["id"],
        "subscription_details": {"metadata": subscription["metadata"]},
        "status": "draft",
        "number": None,
        "billing_reason": reason,
        "collection_method": subscription["collection_method"],
        "auto_advance": False,
        "currency": lines[0]["currency"],
        "lines": {"object": "list", "data": lines, "has_more": False, "total_count": len(lines)},
        "subtotal": subtotal,
        "subtotal_excluding_tax": subtotal,
        "tax": tax,
        "total": subtotal + tax,
        "total_excluding_tax": subtotal,
        "total_tax_amounts": taxes,
        "amount_due": subtotal + tax,
        "amount_paid": 0,
        "amount_remaining": subtotal + tax,
        "paid": False,
        "paid_out_of_band": False,
        "attempted": False,
        "attempt_count": 0,
        "next_payment_attempt": None,
        "charge": None,
        "payment_intent": None,
        "default_payment_method": subscription.get("default_payment_method"),
        "due_date": None,
        "days_until_due": subscription.get("days_until_due"),
        "description": None,
        "metadata": metadata or {},
        "period_start": begins,
        "period_end": max(line["period"]["end"] for line in lines),
        "status_transitions": dict.fromkeys(("finalized_at", "paid_at", "voided_at", "marked_uncollectible_at")),
    }
    return add(call, INVOICE, body)


def _line(call: Call, item: JsonObject, subscription: JsonObject, begins: int) -> JsonObject:
    price = item["price"]
    amount = _rounded(Decimal(price["unit_amount_decimal"]) * int(item["quantity"]))
    product = fetch(call, PRODUCT, price["product"]).body
    taxes = [
        {"amount": _tax(amount, rate), "inclusive": rate["inclusive"], "tax_rate": rate["id"], "taxable_amount": amount}
        for rate in item["tax_rates"]
    ]
    return {
        "id": new_id("il"),
        "object": "line_item",
        "type": "subscription",
        "amount": amount,
        "amount_excluding_tax": amount,
        "currency": price["currency"],
        "description": f"{item['quantity']} x {product['name']}",
        "discountable": True,
        "livemode": False,
        "metadata": item["metadata"],
        "period": {"start": begins, "end": period_end(begins, item)},
        "plan": _plan(price),
        "price": price,
        "proration": False,
        "quantity": int(item["quantity"]),
        "subscription": subscription["id"],
        "subscription_item": item["id"],
        "tax_amounts": taxes,
        "tax_rates": item["tax_rates"],
    }


def _plan(price: JsonObject) -> JsonObject:
    """A price as the older interface calls it."""
    shown = {name: price[name] for name in ("id", "active", "created", "currency", "livemode", "metadata", "nickname", "product")}
    recurring = price.get("recurring") or {}
    terms = {"amount": price["unit_amount"], "amount_decimal": price["unit_amount_decimal"]}
    return {"object": "plan", **shown, **terms, **{name: recurring.get(name) for name in ("interval", "interval_count", "usage_type")}}


def _tax(amount: int, rate: JsonObject) -> int:
    percentage = Decimal(str(rate["percentage"]))
    divisor = 100 + percentage if rate["inclusive"] else Decimal(100)
    return _rounded(amount * percentage / divisor)


def _rounded(amount: Decimal) -> int:
    return int(amount.quantize(Decimal(1), ROUND_HALF_UP))


def _finalised(call: Call, invoice: JsonObject) -> JsonObject:
    now = int(unix_s())
    days = invoice["days_until_due"]
    body = {
        **invoice,
        "status": "open",
        "number": f"SIM-{call.store.next_number('invoice_number'):04d}",
        "status_transitions": {**invoice["status_transitions"], "finalized_at": now},
        "due_date": now + int(days) * _DAY_S if invoice["collection_method"] == "send_invoice" and days is not None else None,
    }
    finalised = call.store.replace(fetch(call, INVOICE, invoice["id"]), body).body
    emit(call, "invoice.finalized", finalised)
    return finalised
