"""Zendesk's HTTP interface as the connector uses it: every write sets state by external id; the actions and the reader call it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from connectors.support.zendesk.records import Entitlement, NewEntitlement, Organization, Shape
from connectors.support.zendesk.refusals import failure
from integration_fabric.connector_kit.http_client import HttpClient, http_client
from integration_fabric.connector_kit.shapes import shaped

PAGE_RECORDS = 100

_ENTITLEMENTS = "/api/v2/custom_objects/entitlement/records"

ShapeT = TypeVar("ShapeT", bound=Shape)


class FoundOrganizations(Shape):
    """Organizations with one external id: they are unique."""

    organizations: tuple[Organization, ...]


class SavedOrganization(Shape):
    """An organization as it was saved."""

    organization: Organization


class SavedEntitlement(Shape):
    """An entitlement as it was saved."""

    custom_object_record: Entitlement


class PageEnd(Shape):
    """Where the next page begins."""

    has_more: bool
    after_cursor: str | None = None


class FoundEntitlements(Shape):
    """One page."""

    custom_object_records: tuple[Entitlement, ...]
    meta: PageEnd


@dataclass(frozen=True, slots=True)
class Zendesk:
    """One account. Safe to share among the tasks of one event loop.

    Every method may raise what `HttpClient.call` raises, ZendeskRefused, Transient where two writes collided, and VendorDrift for an answer
    of another shape.
    """

    http: HttpClient

    async def find_organization(self, external_id: str) -> Organization | None:
        """The organization with this external id."""
        found = await self._ask("GET", "/api/v2/organizations/search", FoundOrganizations, params={"external_id": external_id})
        return found.organizations[0] if found.organizations else None

    async def upsert_organization(self, external_id: str, *, name: str) -> Organization:
        """Add an organization with this external id, or give the one that is there this name."""
        body = {"organization": {"external_id": external_id, "name": name}}
        return (await self._ask("POST", "/api/v2/organizations/create_or_update", SavedOrganization, json=body)).organization

    async def upsert_entitlement(self, new: NewEntitlement) -> Entitlement:
        """Add an entitlement with this external id, or make the one that is there like this."""
        body = {"custom_object_record": {"name": new.name, "external_id": new.external_id, "custom_object_fields": dict(new.fields)}}
        said = await self._ask("PATCH", _ENTITLEMENTS, SavedEntitlement, params={"external_id": new.external_id}, json=body)
        return said.custom_object_record

    async def list_entitlements(self) -> Sequence[Entitlement]:
        """All, oldest first."""
        found: list[Entitlement] = []
        params = {"page[size]": str(PAGE_RECORDS)}
        while True:
            page = await self._ask("GET", _ENTITLEMENTS, FoundEntitlements, params=params)
            found += page.custom_object_records
            if not page.meta.has_more or page.meta.after_cursor is None:
                return found
            params["page[after]"] = page.meta.after_cursor

    async def _ask(self, method: str, path: str, shape: type[ShapeT], **request: Any) -> ShapeT:
        answer = await self.http.call(method, path, **request)
        if not answer.is_success:
            raise failure(answer)
        return shaped(shape, answer.json())


@asynccontextmanager
async def open_zendesk(*, system: str, url: str, key: str, answer_within: timedelta = timedelta(seconds=8)) -> AsyncIterator[Zendesk]:
    """A client of one account, closed at the end.

    Args:
        system: Its name in the fabric, for messages.
        url: Without `/api`, e.g. `https://example.zendesk.com`.
        key: An OAuth access token.
        answer_within: For one call.
    """
    async with http_client(system=system, base_url=url, headers=headers(key), answer_within=answer_within) as http:
        yield Zendesk(http)


def headers(key: str) -> dict[str, str]:
    """Of every request."""
    return {"Authorization": f"Bearer {key}"}
