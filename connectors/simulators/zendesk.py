"""A support system in the shape of Zendesk's API: organizations and users by external id, custom objects (entitlements), tickets.

External ids are unique for organizations, users and custom object records; for tickets they are not. As with Zendesk.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from functools import partial
from typing import Any

from connectors.simulators.clock import iso_seconds, now
from connectors.simulators.exchange import Answer, Call, Endpoint, JsonObject, RefusedError, Vendor, bearer_token, read
from connectors.simulators.store import DuplicateError, Record

ORGANIZATION = "organization"
USER = "user"
TICKET = "ticket"
CUSTOM = "custom_object_record"
_ENTITLEMENT = "entitlement"  # the one custom object that the account has defined
_PLURALS = {ORGANIZATION: "organizations", USER: "users", TICKET: "tickets"}
_TICKET_DEFAULTS: Mapping[str, Any] = {
    "external_id": None,
    "subject": None,
    "description": None,
    "type": None,
    "priority": None,
    "status": "new",
    "requester_id": None,
    "organization_id": None,
    "tags": [],
    "custom_fields": [],
}
_STATUSES = frozenset({"new", "open", "pending", "hold", "solved", "closed"})
_SEARCH_TERM = re.compile(r'(\w+):"?([^"\s]+)"?')
_TITLES = {
    401: "Couldn't authenticate you",
    404: "RecordNotFound",
    429: "TooManyRequests",
    500: "InternalServerError",
    502: "BadGateway",
    503: "ServiceUnavailable",
    504: "GatewayTimeout",
}


def failure(status: int, message: str) -> Answer:
    """An error of the front door."""
    return Answer(status, {"error": _TITLES.get(status, "BadRequest"), "description": message})


def upsert_by_external_id(kind: str, call: Call) -> Answer:
    """`POST /api/v2/<plural>/create_or_update` with `{"<kind>": {"external_id", "name", ...}}`: 201 made, 200 changed."""
    given = _wrapped(call.body, kind)
    external_id = _text(given, "external_id")
    call.concerns(kind, external_id)
    existing = call.existing(kind, external_id)
    if existing is None:
        _text(given, "name")
        return Answer(201, {kind: _add(call, kind, given, unique_key=external_id)})
    body = _touched(existing, given)
    call.store.replace(existing, body)
    return Answer(200, {kind: body})


def find_by_external_id(kind: str, call: Call) -> Answer:
    """`GET /api/v2/<plural>/search?external_id=<id>`, exact."""
    found = call.store.by_external_id(kind, call.first("external_id") or "")
    return Answer(200, _page(_PLURALS[kind], found))


def list_kind(kind: str, call: Call) -> Answer:
    """`GET /api/v2/<plural>`, oldest first, also by `external_id`; `page[size]` up to 100, `page[after]` from `meta.after_cursor`."""
    after = call.number("page[after]", 0)
    size = min(call.number("page[size]", 100), 100)
    external_id = call.first("external_id")
    where, values = ("1", ()) if external_id is None else ("external_id = ?", (external_id,))
    found = call.store.find(kind, where, values, limit=size + 1, offset=after)
    more = len(found) > size
    return Answer(
        200, {**_page(_PLURALS[kind], found[:size]), "meta": {"has_more": more, "after_cursor": str(after + size) if more else None}}
    )


def read_one(kind: str, call: Call) -> Answer:
    """`GET /api/v2/<plural>/<id>`."""
    return Answer(200, {kind: _fetch(call, kind).body})


def create_ticket(call: Call) -> Answer:
    """`POST /api/v2/tickets` with `{"ticket": {"subject", "comment": {"body"}, ...}}`: 201, also where the external id is taken."""
    given = _wrapped(call.body, TICKET)
    call.concerns(TICKET, given.get("external_id"))
    comment = given.pop("comment", None)
    if not isinstance(comment, dict) or not comment.get("body"):
        raise _invalid("comment", "Description: cannot be blank", "BlankValue")
    _check_status(given)
    ticket = {**_TICKET_DEFAULTS, "subject": comment["body"][:80], "description": comment["body"], **given}
    return Answer(201, {TICKET: _add(call, TICKET, ticket)})


def update_ticket(call: Call) -> Answer:
    """`PUT /api/v2/tickets/<id>` with `{"ticket": {...}}`; a comment adds to the description. A closed ticket is read only."""
    record = _fetch(call, TICKET)
    call.concerns(TICKET, record.external_id)
    given = _wrapped(call.body, TICKET)
    if record.body["status"] == "closed":
        raise _invalid("status", "Status: closed prevents ticket update", "InvalidValue")
    _check_status(given)
    comment = given.pop("comment", None)
    if isinstance(comment, dict):
        given["description"] = f"{record.body['description']}\n{comment.get('body', '')}"
    body = _touched(record, given)
    call.store.replace(record, body)
    return Answer(200, {TICKET: body})


def create_custom(call: Call) -> Answer:
    """`POST /api/v2/custom_objects/entitlement/records`: 201; a second one with the same external id is refused with 422."""
    given = _custom_given(call)
    external_id = given.get("external_id")
    call.concerns(_custom_key(call), external_id)
    _text(given, "name")
    try:
        return Answer(201, {CUSTOM: _add(call, _custom_key(call), _custom(call, given), unique_key=external_id)})
    except DuplicateError as duplicate:
        message = f"External ID: '{external_id}' has already been taken by record {duplicate.existing_id}"
        raise _invalid("external_id", message, "DuplicateValue") from duplicate


def upsert_custom(call: Call) -> Answer:
    """`PATCH /api/v2/custom_objects/entitlement/records?external_id=<id>`: 201 made, 200 changed; fields that are not named stay."""
    external_id = call.first("external_id")
    if not external_id:
        raise _invalid("external_id", "External ID: cannot be blank", "BlankValue")
    key = _custom_key(call)
    call.concerns(key, external_id)
    given = _custom_given(call) | {"external_id": external_id}
    existing = call.existing(key, external_id)
    if existing is None:
        _text(given, "name")
        return Answer(201, {CUSTOM: _add(call, key, _custom(call, given), unique_key=external_id)})
    fields = existing.body["custom_object_fields"] | given.get("custom_object_fields", {})
    body = _touched(existing, {**given, "custom_object_fields": fields})
    call.store.replace(existing, body)
    return Answer(200, {CUSTOM: body})


def list_custom(call: Call) -> Answer:
    """`GET /api/v2/custom_objects/entitlement/records`, by `filter[external_ids]=a,b` or `external_id=a` where one is given."""
    key = _custom_key(call)
    wanted = call.first("filter[external_ids]") or call.first("external_id")
    if wanted is not None:
        found = [record for each in wanted.split(",") for record in call.store.by_external_id(key, each)]
        return Answer(200, {**_page("custom_object_records", found), "meta": {"has_more": False, "after_cursor": None}})
    after, size = call.number("page[after]", 0), min(call.number("page[size]", 100), 100)
    found = call.store.find(key, limit=size + 1, offset=after)
    more = len(found) > size
    meta = {"has_more": more, "after_cursor": str(after + size) if more else None}
    return Answer(200, {**_page("custom_object_records", found[:size]), "meta": meta})


def read_custom(call: Call) -> Answer:
    """`GET /api/v2/custom_objects/entitlement/records/<id>`."""
    return Answer(200, {CUSTOM: _fetch(call, _custom_key(call)).body})


def delete_custom(call: Call) -> Answer:
    """`DELETE /api/v2/custom_objects/entitlement/records/<id>`: 204."""
    record = _fetch(call, _custom_key(call))
    call.concerns(record.kind, record.external_id)
    call.store.delete(record)
    return Answer(204)


def search(call: Call) -> Answer:
    """`GET /api/v2/search?query=type:ticket external_id:<id>`: also organizations and users; at once up to date (Zendesk is not)."""
    terms = dict(_SEARCH_TERM.findall(call.first("query") or ""))
    external_id = terms.get("external_id")
    if external_id is None:
        raise RefusedError(failure(422, "The search needs external_id:<id>."))
    kinds = [terms["type"]] if terms.get("type") in _PLURALS else list(_PLURALS)
    found = [(kind, record) for kind in kinds for record in call.store.by_external_id(kind, external_id)]
    results = [{**record.body, "result_type": kind} for kind, record in found]
    return Answer(200, {"results": results, "count": len(results), "next_page": None, "previous_page": None})


def _fetch(call: Call, kind: str) -> Record:
    record = call.store.get(kind, call.parts["id"])
    if record is None:
        raise RefusedError(Answer(404, {"error": "RecordNotFound", "description": "Not found"}))
    return record


def _add(call: Call, kind: str, given: JsonObject, *, unique_key: str | None = None) -> JsonObject:
    native_id: int | str = call.store.next_number(kind) + 10_000
    if kind == _ENTITLEMENT:
        native_id = f"01ENT{native_id:021d}"
    at = iso_seconds(now())
    body = {"id": native_id, **given, "created_at": at, "updated_at": at}
    call.store.insert(kind, str(native_id), body, external_id=given.get("external_id"), unique_key=call.claim(kind, unique_key))
    return body


def _touched(record: Record, changes: JsonObject) -> JsonObject:
    return {**record.body, **changes, "id": record.body["id"], "updated_at": iso_seconds(now())}


def _page(plural: str, records: list[Record]) -> JsonObject:
    return {plural: [record.body for record in records], "count": len(records), "next_page": None}


def _custom_key(call: Call) -> str:
    if call.parts["key"] != _ENTITLEMENT:
        raise RefusedError(Answer(404, {"error": "RecordNotFound", "description": f"There is no custom object '{call.parts['key']}'"}))
    return _ENTITLEMENT


def _custom_given(call: Call) -> JsonObject:
    given = _wrapped(call.body, CUSTOM)
    if not isinstance(given.get("custom_object_fields", {}), dict):
        raise _invalid("custom_object_fields", "Custom object fields: must be an object", "InvalidValue")
    return given


def _custom(call: Call, given: JsonObject) -> JsonObject:
    return {"external_id": None, "custom_object_fields": {}, **given, "custom_object_key": call.parts["key"]}


def _wrapped(body: JsonObject, name: str) -> JsonObject:
    given = body.get(name)
    if not isinstance(given, dict):
        raise RefusedError(Answer(400, {"error": "BadRequest", "description": f"Parameter {name} is required"}))
    return dict(given)


def _text(given: JsonObject, name: str) -> str:
    value = given.get(name)
    if value in (None, ""):
        raise _invalid(name, f"{name.replace('_', ' ').capitalize()}: cannot be blank", "BlankValue")
    return str(value)


def _check_status(given: JsonObject) -> None:
    if given.get("status", "new") not in _STATUSES:
        raise _invalid("status", f"Status: {given['status']} is not valid", "InvalidValue")


def _invalid(field: str, message: str, code: str) -> RefusedError:
    details = {field: [{"description": message, "error": code}]}
    return RefusedError(Answer(422, {"error": "RecordInvalid", "description": "Record validation errors", "details": details}))


def _api_token(headers: Mapping[str, str]) -> str | None:
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return bearer_token(headers)
    try:
        return base64.b64decode(credentials).decode().partition("/token:")[2] or None
    except ValueError:
        return None


_RECORDS = "/api/v2/custom_objects/{key}/records"
VENDOR = Vendor(
    name="zendesk",
    prefix="/zendesk",
    endpoints=(
        *(
            Endpoint("POST", f"/api/v2/{_PLURALS[kind]}/create_or_update", partial(upsert_by_external_id, kind))
            for kind in (ORGANIZATION, USER)
        ),
        *(read(f"/api/v2/{_PLURALS[kind]}/search", partial(find_by_external_id, kind)) for kind in (ORGANIZATION, USER)),
        *(read(f"/api/v2/{plural}", partial(list_kind, kind)) for kind, plural in _PLURALS.items()),
        *(read(f"/api/v2/{plural}/{{id}}", partial(read_one, kind)) for kind, plural in _PLURALS.items()),
        Endpoint("POST", "/api/v2/tickets", create_ticket),
        Endpoint("PUT", "/api/v2/tickets/{id}", update_ticket),
        Endpoint("POST", _RECORDS, create_custom),
        Endpoint("PATCH", _RECORDS, upsert_custom),
        read(_RECORDS, list_custom),
        read(f"{_RECORDS}/{{id}}", read_custom),
        Endpoint("DELETE", f"{_RECORDS}/{{id}}", delete_custom),
        read("/api/v2/search", search),
    ),
    failure=failure,
    token=_api_token,
    unique_ids=True,
)
