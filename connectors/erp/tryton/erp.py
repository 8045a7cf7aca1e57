"""Tryton as the ERP role needs it: what the client offers, and which products are not for sale."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager
from datetime import timedelta

import httpx

from connectors.erp.tryton.client import Tryton
from integration_fabric.connector_kit.http_client import HOOKS


class TrytonErp(Tryton):
    """One database of one Tryton server, as the actions, the reader and the poller use it."""

    async def find_unsalable(self, codes: Iterable[str]) -> Collection[str]:
        """Which of the products in use with these codes are not for sale. Raises as every method of `Tryton`."""
        rows = await self._among("product.product", codes, by="code", fields=["code"], further=[["salable", "=", False]])
        return {row["code"] for row in rows}


@asynccontextmanager
async def open_tryton(
    *, url: str, database: str, key: str, answer_within: timedelta = timedelta(seconds=8), poll_overlap: timedelta = timedelta(seconds=10)
) -> AsyncIterator[TrytonErp]:
    """A client of one database, closed at the end.

    Args:
        url: Of the server without the database, e.g. `http://127.0.0.1:8000`.
        database: Its name.
        key: Of the user application "rest".
        answer_within: For one call.
        poll_overlap: See `Tryton`.
    """
    bounds = httpx.Timeout(answer_within.total_seconds(), connect=min(3.0, answer_within.total_seconds()))
    async with httpx.AsyncClient(timeout=bounds, trust_env=False, event_hooks=HOOKS) as http:
        yield TrytonErp(http, base_url=url, database=database, key=key, poll_overlap=poll_overlap)
