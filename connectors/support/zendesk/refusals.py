"""How Zendesk says no, and what it means; the client raises it, the actions answer with it."""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from connectors.support.zendesk.records import Shape
from integration_fabric.connector_kit.http_client import Answer
from integration_fabric.connector_kit.shapes import shaped
from integration_fabric.messages.errors import BadCredential, Transient, VendorDrift


class ZendeskRefused(Exception):
    """Zendesk said no: nothing was done, and sending it again changes nothing.

    Args:
        message: The vendor's text.
        field: The vendor's field that it is about; empty where it names none.
        code: The vendor's code for that field, e.g. `InvalidValue`.
    """

    def __init__(self, message: str, *, field: str = "", code: str = "") -> None:
        super().__init__(message)
        self.field, self.code = field, code


class Detail(Shape):
    """One reason."""

    description: str = ""
    error: str = ""


class Failed(Shape):
    """An answer that is no success."""

    error: str
    description: str = ""
    details: Mapping[str, tuple[Detail, ...]] = {}


def failure(answer: Answer) -> Exception:
    """What an error says: refused for what was asked, or a request that this version of the interface does not take."""
    failed = shaped(Failed, answer.json())
    text = f"{failed.description or failed.error} (status {answer.status})"
    if answer.status == httpx.codes.FORBIDDEN:
        return BadCredential(text)
    if answer.status == httpx.codes.CONFLICT:
        return Transient(text)
    if answer.status != httpx.codes.UNPROCESSABLE_ENTITY:
        return VendorDrift(text)
    for field, details in failed.details.items():
        for detail in details:
            return ZendeskRefused(detail.description or text, field=field, code=detail.error)
    return ZendeskRefused(text)
