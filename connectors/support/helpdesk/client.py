"""django-helpdesk's HTTP interface as the connector uses it; the actions and the reader call it.

Tickets are made by the stock interface (`/api/`). They are looked up, and changed, by the one that our site adds to it (`/fabric/`, see
`integration_fabric/local/helpdesk_site/views.py`): the stock one cannot search custom fields.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from connectors.support.helpdesk.records import Created, NewTicket, Queue, Shape, Ticket
from connectors.support.helpdesk.refusals import CUSTOM, failure
from integration_fabric.connector_kit.http_client import HttpClient, http_client
from integration_fabric.connector_kit.several import side_by_side
from integration_fabric.connector_kit.shapes import shaped
from integration_fabric.messages.errors import VendorDrift

VALUES_AT_ONCE = 50
"""Of one look-up: an address stays shorter than 8 KiB, which every server on the way takes, with ids of a hundred characters."""
NORMAL = 3
"""The priority of a ticket that nobody must hurry for."""

ShapeT = TypeVar("ShapeT", bound=Shape)


class Queues(Shape):
    """Queues that were asked for."""

    results: tuple[Queue, ...]


class Page(Shape):
    """Some of the tickets that were asked for, oldest first."""

    next: str | None
    results: tuple[Ticket, ...]


@dataclass(frozen=True, slots=True)
class Helpdesk:
    """One server. Safe to share among the tasks of one event loop.

    Every method may raise what `HttpClient.call` raises, HelpdeskRefused, and VendorDrift for an answer of another shape.
    """

    http: HttpClient

    async def find_queue(self, slug: str) -> Queue:
        """The queue of this name. Raises VendorDrift where there is none: the server is not set up for the fabric."""
        found = await self._ask("GET", "/fabric/queues/", Queues, params={"slug": slug})
        if not found.results:
            raise VendorDrift(f"the server has no queue {slug}")
        return found.results[0]

    async def create_ticket(self, new: NewTicket, queue: Queue) -> Created:
        """Add a ticket. Raises AlreadyThere where there is one with its external id, on a server that keeps them unique."""
        fields = {f"{CUSTOM}{name}": value for name, value in new.fields.items() if value is not None}
        body = {"queue": queue.id, "title": new.title, "description": new.description, "priority": NORMAL, **fields}
        return await self._ask("POST", "/api/tickets/", Created, json=body)

    async def change_ticket(self, ticket: int, fields: Mapping[str, str | None]) -> Ticket:
        """Give a ticket's custom fields these values."""
        body = {f"{CUSTOM}{name}": value for name, value in fields.items()}
        return await self._ask("PATCH", f"/fabric/tickets/{ticket}/", Ticket, json=body)

    async def find_by_external_id(self, external_ids: Sequence[str]) -> Sequence[Ticket]:
        """The tickets with one of these external ids, oldest first."""
        return await self._find("external_id", external_ids)

    async def find_by_contract(self, contracts: Sequence[str]) -> Sequence[Ticket]:
        """The tickets of these contracts, oldest first under each of them."""
        return await self._find("contract", contracts)

    async def _find(self, name: str, values: Sequence[str]) -> Sequence[Ticket]:
        asked = list(dict.fromkeys(filter(None, values)))
        chunks = [asked[at : at + VALUES_AT_ONCE] for at in range(0, len(asked), VALUES_AT_ONCE)]
        return [ticket for found in await side_by_side(lambda chunk: self._find_some(name, chunk), chunks) for ticket in found]

    async def _find_some(self, name: str, values: Sequence[str]) -> Sequence[Ticket]:
        found: list[Ticket] = []
        number = 1
        while True:
            page = await self._ask("GET", "/fabric/tickets/", Page, params={name: values, "page": number})
            found += page.results
            if page.next is None:
                return found
            number += 1

    async def _ask(self, method: str, path: str, shape: type[ShapeT], **request: Any) -> ShapeT:
        answer = await self.http.call(method, path, **request)
        if not answer.is_success:
            raise failure(answer)
        return shaped(shape, answer.json())


@asynccontextmanager
async def open_helpdesk(*, system: str, url: str, key: str, answer_within: timedelta = timedelta(seconds=8)) -> AsyncIterator[Helpdesk]:
    """A client of one server, closed at the end.

    Args:
        system: Its name in the fabric, for messages.
        url: Without `/api`.
        key: Token of a user who is staff.
        answer_within: For one call.
    """
    async with http_client(system=system, base_url=url, headers=headers(key), answer_within=answer_within) as http:
        yield Helpdesk(http)


def headers(key: str) -> dict[str, str]:
    """Of every request."""
    return {"Authorization": f"Token {key}"}
