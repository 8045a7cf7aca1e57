"""What has happened in an account, as a poller asks for it: the list of events, which also has what no webhook delivered."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from stripe.params import EventListParams, InvoiceLineItemListParams

from connectors.billing.stripe.intake import DISPUTE_EVENT, EVENT_TYPES
from connectors.billing.stripe.records import Shape
from connectors.billing.stripe.refusals import StripeRefused
from connectors.billing.stripe.sdk import Api
from integration_fabric.connector_kit.polling import Found, Page, Source

PAGE_RECORDS = 100
SETTLES_WITHIN = timedelta(seconds=10)
"""An event's time has whole seconds, and one may show up in the list behind a younger one: so far back each look begins anew."""


class Seen(BaseModel):
    """One event that was published."""

    model_config = ConfigDict(frozen=True)

    id: str
    created: int
    """In seconds since 1970."""


class Cursor(BaseModel):
    """How far the list was read."""

    model_config = ConfigDict(frozen=True)

    anchor: Seen | None = None
    """Everything older is published; None from the beginning."""
    since: tuple[Seen, ...] = ()
    """What is published of what is as old as the anchor, or younger."""

    def after(self, event: Seen) -> Cursor:
        """The cursor once another event is published; the anchor follows at a distance."""
        since = (*self.since, event)
        settled_s = max(each.created for each in since) - int(SETTLES_WITHIN.total_seconds())
        anchors = [each for each in since if each.created < settled_s]
        anchor = max(anchors, key=lambda each: each.created) if anchors else self.anchor
        return Cursor(anchor=anchor, since=tuple(each for each in since if anchor is None or each.created >= anchor.created))

    def knows(self, event: Seen) -> bool:
        """Whether it is published."""
        return event in self.since or event == self.anchor


def read_cursor(text: str | None) -> Cursor:
    """The cursor that was saved. One that cannot be read is as none: what is published again has the same ids."""
    try:
        return Cursor.model_validate_json(text) if text else Cursor()
    except ValidationError:
        return Cursor()


class EventPage(Shape):
    """One page of the list."""

    data: tuple[dict[str, Any], ...]
    has_more: bool


@dataclass(frozen=True, slots=True)
class StripeChanges(Source):
    """The events that intake takes in, of one account with Stripe, which lists them newest first and for thirty days."""

    api: Api

    async def read(self, cursor: str | None) -> Page:
        """What was told since the cursor, oldest first, at most a page of it. Raises FabricError."""
        reached = read_cursor(cursor)
        page = await self._next(reached)
        found: list[Found] = []
        for event in reversed(page.data):
            seen = Seen(id=str(event.get("id")), created=int(event.get("created", 0)))
            if not reached.knows(seen):
                reached = reached.after(seen)
                found.append(Found(await self._payload(event), reached.model_dump_json()))
        return Page((), reached.model_dump_json(), more=page.has_more and bool(found), payloads=found)

    async def _next(self, reached: Cursor) -> EventPage:
        """The first page above the anchor with something new on it, or the last one there is."""
        page = await self._oldest() if reached.anchor is None else await self._above(reached.anchor)
        while page.has_more and all(reached.knows(Seen(id=str(each.get("id")), created=int(each.get("created", 0)))) for each in page.data):
            page = await self._list({"ending_before": page.data[0]["id"]})
        return page

    async def _above(self, anchor: Seen) -> EventPage:
        try:
            return await self._list({"ending_before": anchor.id})
        except StripeRefused as refused:
            if refused.code != "resource_missing":
                raise
        # Nobody has looked for so long that Stripe has forgotten the anchor: all that is left is younger.
        return await self._oldest()

    async def _oldest(self) -> EventPage:
        """The last page of the list, as if it were the first one of many."""
        newer, page = False, await self._list({})
        while page.has_more:
            newer, page = True, await self._list({"starting_after": page.data[-1]["id"]})
        return EventPage(data=page.data, has_more=newer)

    async def _list(self, where: EventListParams) -> EventPage:
        wanted: EventListParams = {"types": list(EVENT_TYPES), "limit": PAGE_RECORDS, **where}
        return await self.api.answer(self.api.v1.events.list_async(wanted), EventPage)

    async def _payload(self, event: Mapping[str, Any]) -> bytes:
        """As a webhook tells it; where that leaves out what intake needs, with what Stripe says when asked for it."""
        about = event.get("data", {}).get("object", {})
        if event.get("type") == DISPUTE_EVENT and isinstance(about.get("charge"), str):
            about = {**about, "charge": await self._charge(about["charge"])}
        lines = about.get("lines")
        if isinstance(lines, dict) and lines.get("has_more"):
            about = {**about, "lines": {**lines, "data": await self._lines(str(about.get("id"))), "has_more": False}}
        return encoded({**event, "data": {**event.get("data", {}), "object": about}})

    async def _charge(self, charge_id: str) -> Mapping[str, Any]:
        """With its invoice, which is the one that a dispute is about."""
        asking = self.api.v1.charges.retrieve_async(charge_id, {"expand": ["invoice"]})
        return (await self.api.answer(asking, AnyObject)).model_dump()

    async def _lines(self, invoice_id: str) -> Sequence[Mapping[str, Any]]:
        found: list[dict[str, Any]] = []
        wanted: InvoiceLineItemListParams = {"limit": PAGE_RECORDS}
        while True:
            page = await self.api.answer(self.api.v1.invoices.line_items.list_async(invoice_id, wanted), EventPage)
            found += page.data
            if not page.has_more:
                return found
            wanted["starting_after"] = page.data[-1]["id"]


@dataclass(frozen=True, slots=True)
class LocalstripeChanges(Source):
    """The events of a localstripe, which lists them in the order in which they happened, of every type; the cursor is the last one's id."""

    api: Api

    async def read(self, cursor: str | None) -> Page:
        """What was told since the cursor, oldest first, at most a page of it. Raises FabricError."""
        wanted: EventListParams = {"limit": PAGE_RECORDS}
        if cursor:
            wanted["starting_after"] = cursor
        page = await self.api.answer(self.api.v1.events.list_async(wanted), EventPage)
        found = [Found(encoded(event), str(event.get("id"))) for event in page.data if event.get("type") in EVENT_TYPES]
        reached = str(page.data[-1].get("id")) if page.data else cursor or ""
        return Page((), reached, more=page.has_more, payloads=found)


class AnyObject(Shape):
    """An object as it is."""

    model_config = ConfigDict(frozen=True, extra="allow")


def encoded(event: Mapping[str, Any]) -> bytes:
    """An event as the bytes of a webhook."""
    return json.dumps(event, default=float, separators=(",", ":")).encode()
