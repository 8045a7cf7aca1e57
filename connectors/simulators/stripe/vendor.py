"""Puts the Stripe simulator together: its endpoints, credential, idempotency keys and webhooks."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import timedelta
from functools import partial

from connectors.simulators.exchange import Answer, Call, Endpoint, Vendor, bearer_token, read
from connectors.simulators.outbox import Outbox
from connectors.simulators.stripe.catalogue import (
    attach_payment_method,
    create_plan,
    create_price,
    create_simple,
    create_tax_rate,
    update_object,
)
from connectors.simulators.stripe.errors import failure, missing
from connectors.simulators.stripe.forms import parse_body
from connectors.simulators.stripe.invoices import create_invoice, finalise_invoice, pay_invoice, void_invoice
from connectors.simulators.stripe.key_memory import KeyMemory, key_of
from connectors.simulators.stripe.objects import (
    CUSTOMER,
    INVOICE,
    PLAN,
    PRICE,
    PRODUCT,
    SUBSCRIPTION,
    TAX_RATE,
    list_objects,
    read_object,
    search_objects,
)
from connectors.simulators.stripe.payments import read_charge
from connectors.simulators.stripe.subscriptions import cancel_subscription, create_subscription, update_subscription

_SEARCHABLE = (CUSTOMER, PRODUCT, PRICE, SUBSCRIPTION)
_CHANGED = (CUSTOMER, PRODUCT, PRICE, PLAN, TAX_RATE)
_KINDS = (*_SEARCHABLE, PLAN, TAX_RATE, INVOICE)


def vendor(*, key_memory: timedelta) -> Vendor:
    """The simulator.

    Args:
        key_memory: how long it remembers an idempotency key; Stripe does for at least 24 hours.
    """
    return Vendor(
        name="stripe",
        prefix="/stripe",
        endpoints=(
            Endpoint("POST", "/v1/customers", partial(create_simple, CUSTOMER)),
            Endpoint("POST", "/v1/products", partial(create_simple, PRODUCT)),
            Endpoint("POST", "/v1/prices", create_price),
            Endpoint("POST", "/v1/plans", create_plan),
            Endpoint("POST", "/v1/payment_methods/{id}/attach", attach_payment_method),
            Endpoint("POST", "/v1/tax_rates", create_tax_rate),
            Endpoint("POST", "/v1/invoices", create_invoice),
            Endpoint("POST", "/v1/invoices/{id}/finalize", finalise_invoice),
            Endpoint("POST", "/v1/invoices/{id}/pay", pay_invoice),
            Endpoint("POST", "/v1/invoices/{id}/void", void_invoice),
            Endpoint("POST", "/v1/subscriptions", create_subscription),
            Endpoint("POST", "/v1/subscriptions/{id}", update_subscription),
            Endpoint("DELETE", "/v1/subscriptions/{id}", cancel_subscription),
            *(Endpoint("POST", f"/v1/{kind.plural}/{{id}}", partial(update_object, kind)) for kind in _CHANGED),
            *(read(f"/v1/{kind.plural}/search", partial(search_objects, kind)) for kind in _SEARCHABLE),
            *(read(f"/v1/{kind.plural}", partial(list_objects, kind)) for kind in _KINDS),
            *(read(f"/v1/{kind.plural}/{{id}}", partial(read_object, kind)) for kind in _KINDS),
            read("/v1/charges/{id}", read_charge),
            read("/v1/events", list_events),
            read("/v1/events/{id}", read_event),
        ),
        failure=failure,
        token=secret_key,
        parse=parse_body,
        indexed=("$.metadata.external_id", "$.customer", "$.subscription"),
        around=KeyMemory(key_memory),
        exclusive_key=key_of,
        signature_header="Stripe-Signature",
        idempotency_keys=True,
    )


def secret_key(headers: Mapping[str, str]) -> str | None:
    """The API key: a bearer token, or the user of basic authentication."""
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return bearer_token(headers)
    try:
        return base64.b64decode(credentials).decode().partition(":")[0]
    except ValueError:
        return None


def list_events(call: Call) -> Answer:
    """`GET /v1/events`, newest first: `limit`, `starting_after` (older than it), `ending_before` (newer than it), `type`, `types`."""
    limit = min(call.number("limit", 10), 100)
    types = [value for name, value in call.query if name == "type" or name.startswith("types[")]
    for name in ("starting_after", "ending_before"):
        anchor = call.first(name)
        if anchor is not None and Outbox(call.store).payload(anchor) is None:
            raise missing("event", anchor, status=400, param=name)
    found = Outbox(call.store).listed(
        limit=limit + 1, event_types=types, older_than=call.first("starting_after"), newer_than=call.first("ending_before")
    )
    data = found[-limit:] if call.first("ending_before") else found[:limit]  # the one too many is at the far end
    return Answer(200, {"object": "list", "url": "/v1/events", "has_more": len(found) > limit, "data": data})


def read_event(call: Call) -> Answer:
    """`GET /v1/events/<id>`."""
    found = Outbox(call.store).payload(call.parts["id"])
    if found is None:
        raise missing("event", call.parts["id"], status=404)
    return Answer(200, found)
