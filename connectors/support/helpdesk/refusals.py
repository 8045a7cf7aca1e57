"""How django-helpdesk says no, and what it means; the client raises it, the actions answer with it."""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from integration_fabric.connector_kit.http_client import Answer
from integration_fabric.messages.errors import BadCredential, VendorDrift

CUSTOM = "custom_"
"""Before the name of a custom field."""


class HelpdeskRefused(Exception):
    """django-helpdesk said no: nothing was done, and sending it again changes nothing.

    Args:
        message: The vendor's text.
        field: The custom field that it is about, e.g. `level`; empty where it is about none.
    """

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class AlreadyThere(HelpdeskRefused):
    """A ticket with this external id exists."""


def failure(answer: Answer) -> Exception:
    """What an error says: refused for what was asked, or a request that this version of the interface does not take.

    A refusal is `{"<field>": ["<text>", ...]}`.
    """
    if answer.status == httpx.codes.FORBIDDEN:
        return BadCredential(f"{answer.text} (status {answer.status})")
    if answer.status not in {httpx.codes.BAD_REQUEST, httpx.codes.CONFLICT}:
        return VendorDrift(f"{answer.text} (status {answer.status})")
    name, text = _first(answer.json())
    if not name.startswith(CUSTOM):
        # What the fabric's commands say stands in custom fields; the rest of a ticket is the connector's own.
        return VendorDrift(f"{name}: {text} (status {answer.status})")
    kind = AlreadyThere if answer.status == httpx.codes.CONFLICT else HelpdeskRefused
    return kind(text, field=name.removeprefix(CUSTOM))


def _first(said: object) -> tuple[str, str]:
    if isinstance(said, Mapping):
        for name, texts in said.items():
            return str(name), " ".join(map(str, texts)) if isinstance(texts, list) else str(texts)
    return "", str(said)
