"""A customer-success system in the shape of Gainsight's APIs: companies (upsert by external id) and calls to action.

Simplified: one record a call, and a unique custom field `External_Id__c` on both objects.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from connectors.simulators.clock import iso_seconds, now
from connectors.simulators.exchange import Answer, Call, Endpoint, JsonObject, RefusedError, Vendor, read
from connectors.simulators.store import DuplicateError, Record

COMPANY = "Company"
CTA = "call_to_action"
EXTERNAL_ID = "External_Id__c"
TYPES = ("Onboarding", "Risk")
PRIORITIES = ("Low", "Medium", "High")
CLOSED_STATUSES = ("Closed Success", "Closed Lost", "Closed Invalid")
_COMPANY_FIELDS = frozenset({EXTERNAL_ID, "Name", "Status", "Industry", "Stage", "Summary", "ARR", "BillingCountry", "Currency"})
_CTA_FIELDS: Mapping[str, Any] = {
    EXTERNAL_ID: None,
    "Name": None,
    "TypeName": None,
    "CompanyExternalId": None,
    "ReasonName": None,
    "PriorityName": "Medium",
    "StatusName": "New",
    "DueDate": None,
    "PlaybookName": None,
    "Comments": "",
    "Contract_Id__c": None,
    "Order_Id__c": None,
    "Invoice_Id__c": None,
    "Products__c": None,
}
_CODES = {
    400: "GSOBJ_1001",
    401: "GU_1101",
    404: "GSOBJ_1004",
    429: "GU_1429",
    502: "GS_0502",
    503: "GS_0503",
    504: "GS_0504",
}


def failure(status: int, message: str) -> Answer:
    """An error of the platform."""
    return _error(status, _CODES.get(status, "GS_0500"), message)


def upsert_company(call: Call) -> Answer:
    """`PUT /v1/data/objects/Company?keys=External_Id__c` with `{"records": [{...}]}`."""
    if call.first("keys") != EXTERNAL_ID:
        raise RefusedError(_error(400, "GSOBJ_1002", f"keys must be {EXTERNAL_ID}"))
    given = _single(call.body)
    _check_fields(given, _COMPANY_FIELDS, COMPANY)
    external_id = _required(given, EXTERNAL_ID)
    call.concerns(COMPANY, external_id)
    at = iso_seconds(now())
    existing = call.existing(COMPANY, external_id)
    if existing is None:
        _required(given, "Name")
        gsid = _gsid("1P02")
        company = {"Gsid": gsid, "CreatedDate": at, **given, "ModifiedDate": at}
        call.store.insert(COMPANY, gsid, company, external_id=external_id, unique_key=call.claim(COMPANY, external_id))
    else:
        company = {**existing.body, **given, "ModifiedDate": at}
        call.store.replace(existing, company)
    return _done({"count": 1, "errors": None, "records": [company]})


def query_companies(call: Call) -> Answer:
    """`POST /v1/data/objects/query/Company` with one `EQ` condition on the external id, or none."""
    match call.body.get("where"):
        case None:
            found = call.store.find(COMPANY)
        case {"conditions": [{"name": "External_Id__c", "operator": "EQ", "value": [value]}]}:
            found = call.store.by_external_id(COMPANY, str(value))
        case _:
            raise RefusedError(_error(400, "GSOBJ_1003", f"only one condition is supported: {EXTERNAL_ID} EQ [value]"))
    return _done({"records": [record.body for record in found]})


def create_cta(call: Call) -> Answer:
    """`POST /v2/cockpit/cta` with `{"records": [{...}]}`; a second one with the same external id is refused, and the first one named."""
    given = _single(call.body)
    external_id = _required(given, EXTERNAL_ID)
    call.concerns(CTA, external_id)
    _check_fields(given, _CTA_FIELDS, CTA)
    _check_values(given)
    company = call.store.by_unique_key(COMPANY, _required(given, "CompanyExternalId"))
    if company is None:
        raise RefusedError(_error(400, "COCKPIT_1042", f"There is no company with {EXTERNAL_ID} '{given['CompanyExternalId']}'."))
    gsid, at = _gsid("1S01"), iso_seconds(now())
    cta = {"Gsid": gsid, **_CTA_FIELDS, **given, "CompanyId": company.id, "CompanyName": company.body["Name"]}
    cta |= {"IsClosed": False, "ClosedDate": None, "CreatedDate": at, "ModifiedDate": at}
    try:
        call.store.insert(CTA, gsid, cta, external_id=external_id, unique_key=call.claim(CTA, external_id))
    except DuplicateError as duplicate:
        message = f"Duplicate value '{external_id}' for the unique field {EXTERNAL_ID}: record {duplicate.existing_id} has it."
        raise RefusedError(_error(409, "COCKPIT_1019", message, {"Gsid": duplicate.existing_id})) from duplicate
    return _done(cta)


def update_cta(call: Call) -> Answer:
    """`PUT /v2/cockpit/cta/<Gsid>`: a closing status closes it; one that is closed can only be commented on."""
    record = _cta(call)
    call.concerns(CTA, record.external_id)
    changes = {name: value for name, value in call.body.items() if name != "IsClosed"}
    _check_fields(changes, _CTA_FIELDS, CTA)
    _check_values(record.body | changes)
    if record.body["IsClosed"] and set(changes) - {"Comments"} and changes.get("StatusName") != record.body["StatusName"]:
        raise RefusedError(_error(400, "COCKPIT_1051", f"CTA {record.id} is closed."))
    if EXTERNAL_ID in changes and changes[EXTERNAL_ID] != record.external_id:
        raise RefusedError(_error(400, "COCKPIT_1052", f"{EXTERNAL_ID} cannot be changed."))
    at = iso_seconds(now())
    cta = {**record.body, **changes, "ModifiedDate": at}
    if cta["StatusName"] in CLOSED_STATUSES and not cta["IsClosed"]:
        cta |= {"IsClosed": True, "ClosedDate": at}
    call.store.replace(record, cta)
    return _done(cta)


def read_cta(call: Call) -> Answer:
    """`GET /v2/cockpit/cta/<Gsid>`."""
    return _done(_cta(call).body)


def list_ctas(call: Call) -> Answer:
    """`GET /v2/cockpit/cta?External_Id__c=<id>`, or all, by `limit` and `offset`; oldest first."""
    external_id = call.first(EXTERNAL_ID)
    where, values = ("1", ()) if external_id is None else ("external_id = ?", (external_id,))
    found = call.store.find(CTA, where, values, limit=call.number("limit", 1000), offset=call.number("offset", 0))
    return _done({"records": [record.body for record in found], "totalCount": call.store.count(CTA, where, values)})


def _cta(call: Call) -> Record:
    record = call.store.get(CTA, call.parts["gsid"])
    if record is None:
        raise RefusedError(failure(404, f"There is no CTA {call.parts['gsid']}."))
    return record


def _single(body: JsonObject) -> JsonObject:
    records = body.get("records")
    if not isinstance(records, list) or len(records) != 1 or not isinstance(records[0], dict):
        raise RefusedError(_error(400, "GSOBJ_1005", 'the body must be {"records": [{...}]} with one record'))
    return records[0]


def _required(given: JsonObject, name: str) -> str:
    value = given.get(name)
    if value in (None, ""):
        raise RefusedError(_error(400, "GSOBJ_1006", f"Required field is missing: {name}."))
    return str(value)


def _check_fields(given: JsonObject, known: Mapping[str, Any] | frozenset[str], kind: str) -> None:
    for name in given:
        if name not in known:
            raise RefusedError(_error(400, "GSOBJ_1007", f"Object {kind} has no field {name}."))


def _check_values(given: JsonObject) -> None:
    _required(given, "Name")
    if given.get("TypeName") not in TYPES:
        raise RefusedError(_error(400, "COCKPIT_1041", f"TypeName must be one of {', '.join(TYPES)}."))
    if given.get("PriorityName", "Medium") not in PRIORITIES:
        raise RefusedError(_error(400, "COCKPIT_1043", f"PriorityName must be one of {', '.join(PRIORITIES)}."))


def _gsid(prefix: str) -> str:
    return prefix + uuid4().hex[:32].upper()


def _done(content: Any) -> Answer:
    return Answer(200, {"result": True, "errorCode": None, "errorDesc": None, "requestId": str(uuid4()), "data": content, "message": None})


def _error(status: int, code: str, message: str, content: Any = None) -> Answer:
    body = {"result": False, "errorCode": code, "errorDesc": message, "requestId": str(uuid4()), "data": content, "message": None}
    return Answer(status, body)


def _access_key(headers: Mapping[str, str]) -> str | None:
    return headers.get("accesskey")


VENDOR = Vendor(
    name="gainsight",
    prefix="/gainsight",
    endpoints=(
        Endpoint("PUT", "/v1/data/objects/Company", upsert_company),
        read("/v1/data/objects/query/Company", query_companies, method="POST"),
        Endpoint("POST", "/v2/cockpit/cta", create_cta),
        Endpoint("PUT", "/v2/cockpit/cta/{gsid}", update_cta),
        read("/v2/cockpit/cta", list_ctas),
        read("/v2/cockpit/cta/{gsid}", read_cta),
    ),
    failure=failure,
    token=_access_key,
    unique_ids=True,
)
