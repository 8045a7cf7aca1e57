"""Collecting an invoice in the Stripe simulator: a charge that succeeds, is declined, or is disputed at once."""

from __future__ import annotations

from connectors.simulators.clock import unix_s
from connectors.simulators.exchange import Answer, Call, JsonObject
from connectors.simulators.store import Record
from connectors.simulators.stripe.cards import DECLINED_METHODS, DISPUTED_METHOD, no_payment_method
from connectors.simulators.stripe.errors import declined
from connectors.simulators.stripe.events import emit
from connectors.simulators.stripe.objects import CHARGE, INVOICE, add, fetch, new_id


def collect(call: Call, invoice: JsonObject, method: str | None) -> tuple[JsonObject, Answer | None]:
    """Try to collect an open invoice.

    Returns:
        The invoice as it is then, and the answer where the card was declined: that attempt is an effect, and stays.

    Raises:
        RefusedError: there is no payment method.
    """
    if method is None:
        raise no_payment_method()
    failed = method in DECLINED_METHODS
    intent = invoice["payment_intent"] or new_id("pi")
    charge = add(call, CHARGE, _charge(invoice, method, intent, failed=failed))
    attempted = {
        **invoice,
        "attempted": True,
        "attempt_count": invoice["attempt_count"] + 1,
        "charge": charge["id"],
        "payment_intent": intent,
    }
    if failed:
        open_still = call.store.replace(fetch(call, INVOICE, invoice["id"]), attempted).body
        emit(call, "invoice.payment_failed", open_still)
        return open_still, declined("payment_method").answer
    paid = {
        **attempted,
        "status": "paid",
        "paid": True,
        "amount_paid": invoice["amount_due"],
        "amount_remaining": 0,
        "status_transitions": {**invoice["status_transitions"], "paid_at": int(unix_s())},
    }
    stored = call.store.replace(fetch(call, INVOICE, invoice["id"]), paid).body
    emit(call, "invoice.paid", stored)
    emit(call, "invoice.payment_succeeded", stored)
    if method == DISPUTED_METHOD:
        _dispute(call, charge)
    return stored, None


def read_charge(call: Call) -> Answer:
    """`GET /v1/charges/<id>`; with `expand[]=invoice` the whole invoice stands in the place of its id."""
    body = fetch(call, CHARGE, call.parts["id"]).body
    if "invoice" in call.all("expand[]") + call.all("expand[0]"):
        body = {**body, "invoice": _invoice(call, body).body}
    return Answer(200, body)


def _charge(invoice: JsonObject, method: str, intent: str, *, failed: bool) -> JsonObject:
    amount = invoice["amount_due"]
    return {
        "amount": amount,
        "amount_captured": 0 if failed else amount,
        "amount_refunded": 0,
        "captured": not failed,
        "currency": invoice["currency"],
        "customer": invoice["customer"],
        "disputed": method == DISPUTED_METHOD,
        "failure_code": "card_declined" if failed else None,
        "failure_message": "Your card was declined." if failed else None,
        "invoice": invoice["id"],
        "metadata": {},
        "paid": not failed,
        "payment_intent": intent,
        "payment_method": method,
        "payment_method_details": {"type": "card"},
        "status": "failed" if failed else "succeeded",
    }


def _dispute(call: Call, charge: JsonObject) -> None:
    dispute = {
        "id": new_id("du"),
        "object": "dispute",
        "created": int(unix_s()),
        "livemode": False,
        "amount": charge["amount"],
        "charge": charge["id"],
        "currency": charge["currency"],
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "reason": "fraudulent",
        "status": "needs_response",
    }
    emit(call, "charge.dispute.created", dispute)


def _invoice(call: Call, charge: JsonObject) -> Record:
    return fetch(call, INVOICE, charge["invoice"])
