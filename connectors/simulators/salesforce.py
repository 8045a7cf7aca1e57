"""A CPQ system in the shape of Salesforce CPQ's REST API: quotes with their lines, approval, SOQL for pollers, a signed webhook.

Simplified: lines live inside their quote (`SBQQ__LineItems__r`), accounts are named by the customer's own id, and approval is a
PATCH of the status.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from datetime import date
from typing import Any

from connectors.simulators.clock import iso_millis, now
from connectors.simulators.exchange import Answer, Call, Endpoint, Event, JsonObject, RefusedError, Vendor, new_event_id, read
from connectors.simulators.soql import MalformedQueryError, Query, UnknownFieldError, parse_query
from connectors.simulators.store import DuplicateError, Record

QUOTE = "SBQQ__Quote__c"
LINE = "SBQQ__QuoteLine__c"
LINES = "SBQQ__LineItems__r"
PAGE = 2000
SMALLEST_PAGE = 200
_BATCH_SIZE = re.compile(r"\bbatchSize=(\d{1,9})\b")
_REQUIRED = object()
_QUOTE_FIELDS: Mapping[str, Any] = {
    "Name": _REQUIRED,
    "SBQQ__Account__c": _REQUIRED,
    "Legal_Entity__c": _REQUIRED,
    "CurrencyIsoCode": _REQUIRED,
    LINES: _REQUIRED,
    "SBQQ__Status__c": "Draft",
    "SBQQ__Type__c": "Quote",
    "SBQQ__MasterContract__c": None,
    "Sold_To__c": None,
    "Bill_To__c": None,
    "Ship_To__c": None,
    "Purchase_Order_Number__c": None,
    "SBQQ__PaymentTerms__c": "NET30",
    "SBQQ__StartDate__c": None,
    "SBQQ__EndDate__c": None,
    "Fulfilment_Status__c": None,
}
_LINE_FIELDS: Mapping[str, Any] = {
    "Name": _REQUIRED,
    "SBQQ__ProductCode__c": _REQUIRED,
    "SBQQ__Quantity__c": _REQUIRED,
    "SBQQ__NetPrice__c": _REQUIRED,
    "SBQQ__StartDate__c": _REQUIRED,
    "Tax_Code__c": _REQUIRED,
    "SBQQ__Description__c": None,
    "Unit__c": "Unit",
    "SBQQ__ChargeType__c": "One-Time",
    "SBQQ__BillingFrequency__c": None,
    "SBQQ__EndDate__c": None,
    "Price_Book_Version__c": None,
    "SBQQ__Bundle__c": False,
    "SBQQ__RequiredBy__r": None,
}
_PICKLISTS: Mapping[str, tuple[str | None, ...]] = {
    "SBQQ__Status__c": ("Draft", "In Review", "Approved", "Rejected"),
    "SBQQ__Type__c": ("Quote", "Renewal", "Amendment"),
    "SBQQ__ChargeType__c": ("One-Time", "Recurring", "Usage"),
    "SBQQ__BillingFrequency__c": (None, "Monthly", "Quarterly", "Annual"),
}
_SYSTEM_FIELDS = ("Version__c", "Approved_At__c", "CreatedDate", "LastModifiedDate", "SystemModstamp")
_QUERIED = {*_QUOTE_FIELDS, *_SYSTEM_FIELDS} - {LINES}
_CODES = {
    400: "JSON_PARSER_ERROR",
    401: "INVALID_SESSION_ID",
    404: "NOT_FOUND",
    429: "REQUEST_LIMIT_EXCEEDED",
    502: "BAD_GATEWAY",
    503: "SERVER_UNAVAILABLE",
}


def failure(status: int, message: str) -> Answer:
    """An error of the platform."""
    return _error(status, _CODES.get(status, "UNKNOWN_EXCEPTION"), message)


def create_quote(call: Call) -> Answer:
    """`POST sobjects/SBQQ__Quote__c`: 201 `{"id", "success", "errors"}`; the name is unique."""
    fields = _complete(call.body, _QUOTE_FIELDS, QUOTE)
    call.concerns(QUOTE, str(fields["Name"]))
    at = iso_millis(now())
    quote_id = f"a0q{call.store.next_number(QUOTE):012d}AAA"
    for party in ("Sold_To__c", "Bill_To__c", "Ship_To__c"):
        fields[party] = fields[party] or fields["SBQQ__Account__c"]
    quote = {
        "attributes": {"type": QUOTE, "url": f"/services/data/{call.parts['version']}/sobjects/{QUOTE}/{quote_id}"},
        "Id": quote_id,
        **fields,
        LINES: _lines(call, fields[LINES]),
        "Version__c": 1,
        "Approved_At__c": None,
        "CreatedDate": at,
        "LastModifiedDate": at,
        "SystemModstamp": at,
    }
    if quote["SBQQ__Status__c"] == "Approved":
        _approve(call, quote)
    try:
        call.store.insert(QUOTE, quote_id, quote, external_id=fields["Name"], unique_key=fields["Name"])
    except DuplicateError as duplicate:
        message = f"duplicate value found: Name duplicates value on record with id: {duplicate.existing_id}"
        raise RefusedError(_error(400, "DUPLICATE_VALUE", message, ["Name"])) from duplicate
    return Answer(201, {"id": quote_id, "success": True, "errors": []})


def update_quote(call: Call) -> Answer:
    """`PATCH sobjects/SBQQ__Quote__c/<id>`: 204; a change of status to Approved enqueues the webhook."""
    record = _quote(call)
    call.concerns(QUOTE, record.external_id)
    changes = _valid(call.body, _QUOTE_FIELDS, QUOTE)
    if "Name" in changes and changes["Name"] != record.external_id:
        raise RefusedError(_error(400, "INVALID_FIELD_FOR_INSERT_UPDATE", "Unable to create/update fields: Name.", ["Name"]))
    if LINES in changes:
        if record.body["SBQQ__Status__c"] == "Approved":
            raise RefusedError(_error(400, "ENTITY_IS_LOCKED", "the lines of an approved quote are locked", [LINES]))
        changes[LINES] = _lines(call, changes[LINES])
    at = iso_millis(now())
    quote = {**record.body, **changes, "Version__c": record.body["Version__c"] + 1, "LastModifiedDate": at, "SystemModstamp": at}
    approved = quote["SBQQ__Status__c"] == "Approved" and record.body["SBQQ__Status__c"] != "Approved"
    if approved:
        _approve(call, quote)
    call.store.replace(record, quote)
    return Answer(204)


def read_quote(call: Call) -> Answer:
    """`GET sobjects/SBQQ__Quote__c/<id>`."""
    return Answer(200, _quote(call).body)


def read_quote_by_name(call: Call) -> Answer:
    """`GET sobjects/SBQQ__Quote__c/Name/<name>`."""
    record = call.store.by_unique_key(QUOTE, call.parts["name"])
    if record is None:
        raise RefusedError(failure(404, "The requested resource does not exist"))
    return Answer(200, record.body)


def query(call: Call) -> Answer:
    """`GET query?q=<SOQL>`: `{"totalSize", "done", "records"}`, with `nextRecordsUrl` where there is more.

    `Sforce-Query-Options: batchSize=<200..2000>` says how many an answer has.
    """
    return _page(call, call.first("q") or "", 0)


def query_more(call: Call) -> Answer:
    """`GET query/<locator>`: the next page."""
    try:
        statement, offset = json.loads(base64.urlsafe_b64decode(call.parts["locator"]))
    except ValueError as error:
        raise RefusedError(_error(400, "INVALID_QUERY_LOCATOR", "invalid query locator")) from error
    return _page(call, statement, offset)


def _page(call: Call, statement: str, page_offset: int) -> Answer:
    asked = _parsed(statement)
    left = None if asked.limit is None else asked.limit - page_offset
    batch = _batch_size(call)
    size = batch if left is None else min(batch, left)
    found = call.store.find(QUOTE, asked.where, asked.values, order=asked.order, limit=size + 1, offset=asked.offset + page_offset)
    records = [record.body for record in found[:size]]
    total = call.store.count(QUOTE, asked.where, asked.values)
    more = len(found) > size and (left is None or left > size)
    body: JsonObject = {"totalSize": total if asked.limit is None else min(total, asked.limit), "done": not more, "records": records}
    if more:
        locator = base64.urlsafe_b64encode(json.dumps([statement, page_offset + size]).encode()).decode()
        body["nextRecordsUrl"] = f"/services/data/{call.parts['version']}/query/{locator}"
    return Answer(200, body)


def _batch_size(call: Call) -> int:
    asked = _BATCH_SIZE.search(call.headers.get("sforce-query-options", ""))
    return min(max(int(asked[1]), SMALLEST_PAGE), PAGE) if asked else PAGE


def _parsed(statement: str) -> Query:
    try:
        asked = parse_query(statement, _QUERIED)
    except MalformedQueryError as error:
        raise RefusedError(_error(400, "MALFORMED_QUERY", str(error))) from error
    except UnknownFieldError as error:
        raise RefusedError(_error(400, "INVALID_FIELD", str(error))) from error
    if asked.sobject != QUOTE:
        raise RefusedError(_error(400, "INVALID_TYPE", f"sObject type '{asked.sobject}' is not supported."))
    return asked


def _approve(call: Call, quote: JsonObject) -> None:
    at = quote["Approved_At__c"] = quote["LastModifiedDate"]
    event_id = new_event_id()
    payload = {"eventId": event_id, "eventType": "quote.approved", "eventTime": at, "sobject": quote}
    call.emit(Event(event_id, "quote.approved", quote["Id"], payload))


def _quote(call: Call) -> Record:
    record = call.store.get(QUOTE, call.parts["id"])
    if record is None:
        raise RefusedError(failure(404, "The requested resource does not exist"))
    return record


def _lines(call: Call, tree: Any) -> JsonObject:
    given = tree.get("records") if isinstance(tree, dict) else None
    if not isinstance(given, list) or not given or not all(isinstance(line, dict) for line in given):
        raise RefusedError(_error(400, "INVALID_FIELD", f'{LINES} must be {{"records": [...]}} with at least one line', [LINES]))
    records: list[JsonObject] = []
    ids: dict[str, str] = {}
    for each in given:
        line = _complete(each, _LINE_FIELDS, LINE)
        line_id = f"a0r{call.store.next_number(LINE):012d}AAA"
        line["SBQQ__RequiredBy__c"] = _parent_id(line, ids)
        ids[str(line["Name"])] = line_id
        records.append({"attributes": {"type": LINE}, "Id": line_id, "SBQQ__Number__c": len(records) + 1, **line})
    if len(ids) < len(records):
        raise RefusedError(_error(400, "DUPLICATE_VALUE", "two lines have the same Name", ["Name"]))
    return {"totalSize": len(records), "done": True, "records": records}


def _parent_id(line: JsonObject, ids: Mapping[str, str]) -> str | None:
    parent = line["SBQQ__RequiredBy__r"]
    if parent is None:
        return None
    name = str(parent.get("Name")) if isinstance(parent, dict) else ""
    if name not in ids:
        message = f"Foreign key external ID: {name} not found for field Name in entity {LINE}; a bundle stands before its options"
        raise RefusedError(_error(400, "INVALID_FIELD", message, ["SBQQ__RequiredBy__r"]))
    return ids[name]


def _complete(given: JsonObject, fields: Mapping[str, Any], sobject: str) -> JsonObject:
    missing = [name for name, default in fields.items() if default is _REQUIRED and given.get(name) in (None, "")]
    if missing:
        raise RefusedError(_error(400, "REQUIRED_FIELD_MISSING", f"Required fields are missing: [{', '.join(missing)}]", missing))
    defaults = {name: default for name, default in fields.items() if default is not _REQUIRED}
    return defaults | _valid(given, fields, sobject)


def _valid(given: JsonObject, fields: Mapping[str, Any], sobject: str) -> JsonObject:
    values = {name: value for name, value in given.items() if name != "attributes"}
    for name, value in values.items():
        if name not in fields:
            raise RefusedError(_error(400, "INVALID_FIELD", f"No such column '{name}' on sobject of type {sobject}", [name]))
        if name in _PICKLISTS and value not in _PICKLISTS[name]:
            message = f"{name}: bad value for restricted picklist field: {value}"
            raise RefusedError(_error(400, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", message, [name]))
        if name.endswith("Date__c") and value is not None and not _is_date(value):
            raise RefusedError(
                _error(400, "JSON_PARSER_ERROR", f"Cannot deserialize instance of date from VALUE_STRING value {value}", [name])
            )
        if name in ("SBQQ__Quantity__c", "SBQQ__NetPrice__c") and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise RefusedError(_error(400, "JSON_PARSER_ERROR", f"Cannot deserialize instance of double from value {value}", [name]))
    return values


def _is_date(value: Any) -> bool:
    try:
        date.fromisoformat(value)
    except (TypeError, ValueError):
        return False
    return True


def _error(status: int, code: str, message: str, fields: list[str] | None = None) -> Answer:
    return Answer(status, [{"message": message, "errorCode": code, "fields": fields or []}])


_DATA = "/services/data/{version}"
VENDOR = Vendor(
    name="salesforce",
    prefix="/salesforce",
    endpoints=(
        Endpoint("POST", f"{_DATA}/sobjects/{QUOTE}", create_quote),
        Endpoint("PATCH", f"{_DATA}/sobjects/{QUOTE}/{{id}}", update_quote),
        read(f"{_DATA}/sobjects/{QUOTE}/Name/{{name}}", read_quote_by_name),
        read(f"{_DATA}/sobjects/{QUOTE}/{{id}}", read_quote),
        read(f"{_DATA}/query", query),
        read(f"{_DATA}/query/{{locator}}", query_more),
    ),
    failure=failure,
    indexed=("$.LastModifiedDate", "$.SBQQ__Status__c,$.SystemModstamp"),
    signature_header="X-Salesforce-Signature",
)
