"""Stripe's objects: which parameters each takes, and how each is made, found, listed and searched; the same way for all of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from connectors.simulators.clock import unix_s
from connectors.simulators.exchange import Answer, Call, JsonObject, RefusedError
from connectors.simulators.store import DuplicateError, Record
from connectors.simulators.stripe.errors import error, invalid, missing

_IGNORED = frozenset({"expand"})
_CLAUSE = re.compile(r"\s*(?:metadata\[['\"](?P<key>[^'\"]+)['\"]\]|(?P<field>\w+))\s*:\s*['\"](?P<value>[^'\"]*)['\"]\s*")
_SEARCHED_FIELDS = frozenset({"status", "active", "currency", "email", "name", "lookup_key", "product", "customer"})


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of object.

    Attributes:
        name: `object` of its records.
        plural: its path.
        prefix: of the ids that Stripe makes.
        parameters: what it takes, with defaults.
        required: those that must be there.
        own_ids: whether a caller may choose the id, which then is unique.
    """

    name: str
    plural: str
    prefix: str
    parameters: Mapping[str, Any]
    required: tuple[str, ...] = ()
    own_ids: bool = False


CUSTOMER = Kind(
    "customer",
    "customers",
    "cus",
    dict.fromkeys(("name", "email", "description", "phone", "address", "shipping", "payment_method"))
    | {"metadata": {}, "invoice_settings": {}, "preferred_locales": [], "tax_exempt": "none"},
    own_ids=True,
)
PRODUCT = Kind(
    "product",
    "products",
    "prod",
    {"name": None, "description": None, "unit_label": None, "metadata": {}, "active": True},
    ("name",),
    own_ids=True,
)
PRICE = Kind(
    "price",
    "prices",
    "price",
    dict.fromkeys(("currency", "product", "product_data", "unit_amount", "unit_amount_decimal", "recurring", "lookup_key", "nickname"))
    | {"metadata": {}, "active": True, "billing_scheme": "per_unit", "tax_behavior": "unspecified", "transfer_lookup_key": False},
    ("currency",),
)
PLAN = Kind(
    "plan",
    "plans",
    "plan",
    dict.fromkeys(("amount", "amount_decimal", "currency", "interval", "product", "nickname"))
    | {"interval_count": 1, "metadata": {}, "active": True, "usage_type": "licensed", "billing_scheme": "per_unit"},
    ("currency", "interval", "product"),
    own_ids=True,
)
SUBSCRIPTION = Kind(
    "subscription",
    "subscriptions",
    "sub",
    dict.fromkeys(
        (
            "customer",
            "items",
            "currency",
            "default_payment_method",
            "days_until_due",
            "description",
            "trial_end",
            "cancel_at",
            "payment_behavior",
            "billing_cycle_anchor",
            "backdate_start_date",
            "proration_behavior",
            "off_session",
            "cancellation_details",
        )
    )
    | {"metadata": {}, "collection_method": "charge_automatically", "cancel_at_period_end": False},
    ("customer", "items"),
)
TAX_RATE = Kind(
    "tax_rate",
    "tax_rates",
    "txr",
    dict.fromkeys(("display_name", "inclusive", "percentage", "description", "jurisdiction", "country", "state", "tax_type"))
    | {"metadata": {}, "active": True},
    ("display_name", "inclusive", "percentage"),
)
INVOICE = Kind(
    "invoice",
    "invoices",
    "in",
    dict.fromkeys(("customer", "subscription", "description", "collection_method", "days_until_due", "default_payment_method"))
    | {"metadata": {}, "auto_advance": False},
    ("customer",),
)
CHARGE = Kind("charge", "charges", "ch", {"metadata": {}, "description": None})


def checked(call: Call, kind: Kind) -> JsonObject:
    """The parameters of a request, each one known.

    Raises:
        RefusedError: one is unknown, or the metadata is no object.
    """
    for name in call.body:
        if name not in kind.parameters and name not in _IGNORED and not (name == "id" and kind.own_ids):
            raise invalid("parameter_unknown", f"Received unknown parameter: {name}", name)
    if not isinstance(call.body.get("metadata") or {}, dict):
        raise invalid("parameter_invalid_object", "Invalid object: metadata", "metadata")
    return {name: value for name, value in call.body.items() if name not in _IGNORED}


def external_id(parameters: Mapping[str, Any]) -> str | None:
    """The caller's own id of an object, for the call log: metadata first, else a lookup key, else a chosen id."""
    metadata = parameters.get("metadata") or {}
    found = metadata.get("external_id") or parameters.get("lookup_key") or parameters.get("id")
    return None if found is None else str(found)


def require(parameters: Mapping[str, Any], kind: Kind) -> None:
    """Raises RefusedError where a required parameter is missing."""
    for name in kind.required:
        if parameters.get(name) in (None, "", []):
            raise invalid("parameter_missing", f"Missing required param: {name}.", name)


def new_id(prefix: str) -> str:
    """An id that never comes again, not even after a reset: whoever keeps cross-references would take it for the earlier object's."""
    return f"{prefix}_{uuid4().hex[:24]}"


def add(call: Call, kind: Kind, body: JsonObject, *, chosen_id: str | None = None, unique_key: str | None = None) -> JsonObject:
    """Store a new object.

    Raises:
        RefusedError: the chosen id or the lookup key is taken.
    """
    object_id = chosen_id or new_id(kind.prefix)
    stored = {"id": object_id, "object": kind.name, "created": int(unix_s()), "livemode": False, **body}
    try:
        call.store.insert(kind.name, object_id, stored, external_id=external_id({**body, "id": chosen_id}), unique_key=unique_key)
    except DuplicateError as duplicate:
        if unique_key is not None:
            message = f"A price (`{duplicate.existing_id}`) already uses that lookup key."
            raise RefusedError(error(400, "invalid_request_error", message, param="lookup_key")) from duplicate
        message = f"{kind.name.capitalize()} already exists."
        raise RefusedError(error(400, "invalid_request_error", message, code="resource_already_exists", param="id")) from duplicate
    return stored


def changed(record: Record, changes: Mapping[str, Any]) -> JsonObject:
    """A body with changes; metadata is merged, and an empty value removes its key."""
    metadata = record.body["metadata"] | (changes.get("metadata") or {})
    kept = {key: value for key, value in metadata.items() if value not in ("", None)}
    return {**record.body, **changes, "metadata": kept}


def fetch(call: Call, kind: Kind, object_id: str, *, param: str | None = None) -> Record:
    """The object with this id.

    Raises:
        RefusedError: there is none; 404, or 400 where `param` names the parameter that mentions it.
    """
    record = call.store.get(kind.name, object_id)
    if record is None:
        raise missing(kind.name, object_id, status=400 if param else 404, param=param or "id")
    return record


def read_object(kind: Kind, call: Call) -> Answer:
    """`GET /v1/<plural>/<id>`."""
    return Answer(200, fetch(call, kind, call.parts["id"]).body)


def list_objects(kind: Kind, call: Call) -> Answer:
    """`GET /v1/<plural>`, newest first, with `limit`, `starting_after` and the kind's own filters."""
    conditions, values = _filters(kind, call)
    after = call.first("starting_after")
    if after is not None:
        conditions.append("position < (SELECT position FROM records AS r WHERE r.kind = ? AND r.id = ?)")
        values += [kind.name, after]
    limit = min(call.number("limit", 10), 100)
    found = call.store.find(kind.name, " AND ".join(["1", *conditions]), values, order="position DESC", limit=limit + 1)
    data = [record.body for record in found[:limit]]
    return Answer(200, {"object": "list", "url": f"/v1/{kind.plural}", "has_more": len(found) > limit, "data": data})


def search_objects(kind: Kind, call: Call) -> Answer:
    """`GET /v1/<plural>/search?query=metadata['external_id']:'X'`: exact, clauses joined by AND; at once up to date (Stripe is not)."""
    conditions, values = ["1"], []
    for clause in re.split(r"\s+AND\s+", call.first("query") or ""):
        match = _CLAUSE.fullmatch(clause)
        if match is None or (match["field"] and match["field"] not in _SEARCHED_FIELDS):
            raise invalid("parameter_invalid_string_empty", f"We were unable to parse your search query: {clause}", "query")
        path = f"$.{match['field']}" if match["field"] else f'$.metadata."{match["key"]}"'
        if match["key"] == "external_id":
            conditions.append("json_extract(body, '$.metadata.external_id') = ?")
        else:
            conditions.append("json_extract(body, ?) = ?")
            values.append(path)
        values.append(match["value"])
    found = call.store.find(kind.name, " AND ".join(conditions), values, order="position DESC", limit=min(call.number("limit", 10), 100))
    body = {"object": "search_result", "url": f"/v1/{kind.plural}/search", "has_more": False, "next_page": None}
    return Answer(200, {**body, "data": [record.body for record in found]})


def _filters(kind: Kind, call: Call) -> tuple[list[str], list[Any]]:
    conditions: list[str] = []
    values: list[Any] = []
    if call.first("active") is not None:
        conditions.append("json_extract(body, '$.active') = ?")
        values.append(call.first("active") == "true")
    for name in ("customer", "product", "email", "subscription"):
        value = call.first(name)
        if value is not None:
            conditions.append(f"json_extract(body, '$.{name}') = ?")
            values.append(value)
    keys = call.all("lookup_keys[]") + call.all("lookup_keys") + call.all("lookup_keys[0]")
    if keys:
        conditions.append(f"json_extract(body, '$.lookup_key') IN ({', '.join('?' * len(keys))})")
        values += keys
    status = call.first("status")
    if kind is SUBSCRIPTION and status is None:
        conditions.append("json_extract(body, '$.status') <> 'canceled'")
    elif status not in (None, "all"):
        conditions.append("json_extract(body, '$.status') = ?")
        values.append(status)
    return conditions, values
