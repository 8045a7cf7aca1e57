"""Gainsight's HTTP interface as the connector uses it: one record a call; the actions and the reader call it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, TypeVar

import httpx

from connectors.customer_success.gainsight.records import EXTERNAL_ID, Company, Cta, NewCta, Shape
from integration_fabric.connector_kit.http_client import Answer, HttpClient, http_client
from integration_fabric.connector_kit.shapes import shaped
from integration_fabric.messages.errors import BadCredential, VendorDrift

PAGE_RECORDS = 1000
ONBOARDING = "Onboarding"

_DUPLICATE = "COCKPIT_1019"
# Errors about the request itself: keys, condition, body or field that this version of the interface does not have.
_MALFORMED = frozenset({"GSOBJ_1001", "GSOBJ_1002", "GSOBJ_1003", "GSOBJ_1005", "GSOBJ_1007"})

DataT = TypeVar("DataT")


class GainsightRefused(Exception):
    """Gainsight said no: nothing was done, and sending it again changes nothing.

    Args:
        message: The vendor's text.
        code: The vendor's code, e.g. `COCKPIT_1042`.
    """

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code


class AlreadyThere(GainsightRefused):
    """A record with this external id exists."""


class Said(Shape, Generic[DataT]):
    """The envelope of an answer."""

    result: bool
    data: DataT


class Failed(Shape):
    """The envelope of an answer that is no success."""

    errorCode: str
    errorDesc: str = ""


class Records(Shape, Generic[DataT]):
    """Several records."""

    records: tuple[DataT, ...]


@dataclass(frozen=True, slots=True)
class Gainsight:
    """One tenant. Safe to share among the tasks of one event loop.

    Every method may raise what `HttpClient.call` raises, GainsightRefused, and VendorDrift for an answer of another shape.
    """

    http: HttpClient

    async def find_company(self, external_id: str) -> Company | None:
        """The company with this external id."""
        condition = {"name": EXTERNAL_ID, "operator": "EQ", "value": [external_id], "alias": "A"}
        query = {"select": ["Gsid", EXTERNAL_ID], "where": {"conditions": [condition], "expression": "A"}}
        said = await self._ask("POST", "/v1/data/objects/query/Company", Said[Records[Company]], reads=True, json=query)
        return said.data.records[0] if said.data.records else None

    async def upsert_company(self, external_id: str, *, name: str) -> Company:
        """Add a company with this external id, or give the one that is there this name."""
        body = {"records": [{EXTERNAL_ID: external_id, "Name": name}]}
        said = await self._ask("PUT", "/v1/data/objects/Company", Said[Records[Company]], params={"keys": EXTERNAL_ID}, json=body)
        if not said.data.records:
            raise VendorDrift("an upsert was answered without a record", path="data.records")
        return said.data.records[0]

    async def create_cta(self, new: NewCta) -> Cta:
        """Add a CTA. Raises AlreadyThere where there is one with its external id."""
        return (await self._ask("POST", "/v2/cockpit/cta", Said[Cta], json={"records": [_cta_values(new)]})).data

    async def find_ctas(self, external_id: str) -> Sequence[Cta]:
        """The CTAs with this external id; at most one, as long as the field is unique."""
        said = await self._ask("GET", "/v2/cockpit/cta", Said[Records[Cta]], params={EXTERNAL_ID: external_id})
        return said.data.records

    async def list_ctas(self) -> Sequence[Cta]:
        """Every CTA that has an external id."""
        found: list[Cta] = []
        while True:
            page = {"limit": str(PAGE_RECORDS), "offset": str(len(found))}
            said = await self._ask("GET", "/v2/cockpit/cta", Said[Records[Cta]], params=page)
            found += said.data.records
            if len(said.data.records) < PAGE_RECORDS:
                return found

    async def _ask(self, method: str, path: str, shape: type[SaidT], *, reads: bool | None = None, **request: Any) -> SaidT:
        answer = await self.http.call(method, path, reads=reads, **request)
        if not answer.is_success:
            raise _failure(answer)
        return shaped(shape, answer.json())


SaidT = TypeVar("SaidT", bound=Shape)


@asynccontextmanager
async def open_gainsight(*, system: str, url: str, key: str, answer_within: timedelta = timedelta(seconds=8)) -> AsyncIterator[Gainsight]:
    """A client of one tenant, closed at the end.

    Args:
        system: Its name in the fabric, for messages.
        url: Of the tenant, without `/v1`.
        key: The access key.
        answer_within: For one call.
    """
    async with http_client(system=system, base_url=url, headers=headers(key), answer_within=answer_within) as http:
        yield Gainsight(http)


def headers(key: str) -> dict[str, str]:
    """Of every request."""
    return {"AccessKey": key}


def _cta_values(new: NewCta) -> dict[str, str]:
    return {
        EXTERNAL_ID: new.external_id,
        "Name": new.name,
        "TypeName": ONBOARDING,
        "CompanyExternalId": new.company,
        "PlaybookName": new.playbook,
        "DueDate": new.due_on.isoformat(),
        "Comments": new.comments,
        "Contract_Id__c": new.contract_id,
        "Order_Id__c": new.order_id,
        "Products__c": new.products,
    }


def _failure(answer: Answer) -> Exception:
    """What an error says: refused for what was asked, or a request that this version of the interface does not take."""
    failed = shaped(Failed, answer.json())
    if answer.status == httpx.codes.FORBIDDEN:
        return BadCredential(f"{failed.errorDesc} ({failed.errorCode})")
    if failed.errorCode in _MALFORMED or answer.status in {httpx.codes.NOT_FOUND, httpx.codes.METHOD_NOT_ALLOWED}:
        return VendorDrift(f"{failed.errorDesc} ({failed.errorCode}, status {answer.status})")
    if failed.errorCode == _DUPLICATE:
        return AlreadyThere(failed.errorDesc, code=failed.errorCode)
    return GainsightRefused(failed.errorDesc, code=failed.errorCode)
