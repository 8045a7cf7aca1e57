"""Gainsight's HTTP interface as the connector uses it: one record a call; the actions and the reader call it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, Literal, TypeVar

from connectors.customer_success.gainsight.records import CLOSED, EXTERNAL_ID, Company, Cta, NewCta, Shape
from connectors.customer_success.gainsight.refusals import failure
from integration_fabric.connector_kit.http_client import HttpClient, http_client
from integration_fabric.connector_kit.shapes import shaped
from integration_fabric.messages.errors import VendorDrift

PAGE_RECORDS = 1000

DataT = TypeVar("DataT")
SaidT = TypeVar("SaidT", bound=Shape)


class Said(Shape, Generic[DataT]):
    """The envelope of an answer."""

    result: Literal[True]
    data: DataT


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

    async def close_cta(self, gsid: str, *, comments: str) -> Cta:
        """End a CTA well, with these comments in place of its own. Raises GainsightRefused where somebody ended it in another way."""
        return (await self._ask("PUT", f"/v2/cockpit/cta/{gsid}", Said[Cta], json={"StatusName": CLOSED, "Comments": comments})).data

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
            raise failure(answer)
        return shaped(shape, answer.json())


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
    values = {
        EXTERNAL_ID: new.external_id,
        "Name": new.name,
        "TypeName": new.type,
        "CompanyExternalId": new.company,
        "ReasonName": new.reason,
        "PriorityName": new.priority,
        "PlaybookName": new.playbook,
        "DueDate": new.due_on.isoformat() if new.due_on else None,
        "Comments": new.comments,
        "Contract_Id__c": new.contract_id,
        "Order_Id__c": new.order_id,
        "Invoice_Id__c": new.invoice_id,
        "Products__c": new.products,
    }
    return {name: value for name, value in values.items() if value is not None}
