"""What Tryton's failures say about a call (guarantee G4): the client lets httpx's exceptions through, here they get the fabric's names.

Actions, reader and poller put each of the client's calls into `judged`.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

import httpx
import pydantic

from connectors.erp.tryton.rest import TrytonBusy
from integration_fabric.connector_kit.http_client import READS, failure_of_answer, failure_of_transport
from integration_fabric.messages.errors import BadCredential, FabricError, Transient, VendorDrift

T = TypeVar("T")

# What the client trips over where an answer has another shape: not JSON, a field missing, a list where a record should be.
_ANOTHER_SHAPE = (pydantic.ValidationError, ValueError, LookupError, TypeError, AttributeError)


async def judged(call: Awaitable[T]) -> T:
    """What a call of the client returns.

    One call may stand for several requests; it is judged by the one that failed. Those before it were answered, and every call begins with
    looking what is there: so only a write that was not answered leaves an unknown outcome.

    Raises:
        TrytonRefused: As the client raises it: Tryton said no.
        Transient: Another transaction was in the way, or a read was answered with 5xx.
        UnknownOutcome: A write was sent and not answered, or answered with 5xx.
        Unavailable: Nothing was sent, or a read was not answered.
        Throttled: 429.
        BadCredential: 401, or 403: the key's user lacks a right.
        VendorDrift: An answer that says neither yes nor no in Tryton's way.
    """
    try:
        return await call
    except TrytonBusy as error:
        raise Transient(f"tryton: {error}") from error
    except httpx.HTTPStatusError as error:
        raise _of_status(error) from error
    except httpx.TransportError as error:
        raise failure_of_transport(error, _what(error.request), harmless=_is_harmless(error.request)) from error
    except _ANOTHER_SHAPE as error:
        raise VendorDrift(f"tryton: an answer has another shape: {type(error).__name__} {error}".replace("\n", " ")) from error


def _of_status(error: httpx.HTTPStatusError) -> FabricError:
    what = _what(error.request)
    found = failure_of_answer(error.response, what, harmless=_is_harmless(error.request))
    if found is not None:
        return found
    if error.response.status_code == httpx.codes.FORBIDDEN:
        return BadCredential(f"{what}: 403 {error.response.text[:200]}")
    return VendorDrift(f"{what}: {error.response.status_code} {error.response.text[:200]}")


def _what(request: httpx.Request) -> str:
    return f"tryton: {request.method} {request.url.host}{request.url.path}"


def _is_harmless(request: httpx.Request) -> bool:
    return request.method in READS
