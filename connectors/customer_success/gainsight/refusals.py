"""How Gainsight says no, and what it means; the client raises it, the actions answer with it."""

from __future__ import annotations

import httpx
from pydantic import Field

from connectors.customer_success.gainsight.records import Shape
from integration_fabric.connector_kit.http_client import Answer
from integration_fabric.connector_kit.shapes import shaped
from integration_fabric.messages.errors import BadCredential, VendorDrift

_DUPLICATE = "COCKPIT_1019"
# Errors about the request itself: keys, condition, body or field that this version of the interface does not have.
_MALFORMED = frozenset({"GSOBJ_1001", "GSOBJ_1002", "GSOBJ_1003", "GSOBJ_1005", "GSOBJ_1007"})


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


class Failed(Shape):
    """The envelope of an answer that is no success."""

    code: str = Field(alias="errorCode")
    description: str = Field(default="", alias="errorDesc")


def failure(answer: Answer) -> Exception:
    """What an error says: refused for what was asked, or a request that this version of the interface does not take."""
    failed = shaped(Failed, answer.json())
    if answer.status == httpx.codes.FORBIDDEN:
        return BadCredential(f"{failed.description} ({failed.code})")
    if failed.code in _MALFORMED or answer.status in {httpx.codes.NOT_FOUND, httpx.codes.METHOD_NOT_ALLOWED}:
        return VendorDrift(f"{failed.description} ({failed.code}, status {answer.status})")
    if failed.code == _DUPLICATE:
        return AlreadyThere(failed.description, code=failed.code)
    return GainsightRefused(failed.description, code=failed.code)
