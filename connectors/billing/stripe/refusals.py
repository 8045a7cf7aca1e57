"""How Stripe says no, and what it means; the client raises it, the actions answer with it."""

from __future__ import annotations

import httpx

from connectors.billing.stripe.records import Shape
from integration_fabric.messages.errors import BadCredential, Transient, VendorDrift


class StripeRefused(Exception):
    """Stripe said no: nothing was done, and sending it again changes nothing.

    Args:
        message: The vendor's text.
        status: The HTTP status; 402 where the payment was declined.
        code: The vendor's code, e.g. `resource_missing`.
        param: The parameter that it is about, e.g. `items[0][price]`.
    """

    def __init__(self, message: str, *, status: int = 400, code: str = "", param: str = "") -> None:
        super().__init__(message)
        self.status, self.code, self.param = status, code, param


class KeyReused(VendorDrift):
    """The idempotency key was used with other parameters: the request under it may have been carried out, this one was not."""


class Error(Shape):
    """Why Stripe did not do it."""

    type: str
    message: str = ""
    code: str | None = None
    param: str | None = None


class ErrorAnswer(Shape):
    """An answer that is no success."""

    error: Error


def failure(status: int, error: Error) -> Exception:
    """What an error says: refused for what was asked, or a request that this version of the interface does not take."""
    text = f"{error.message or error.type} (status {status})"
    code, param = error.code or "", error.param or ""
    if error.type == "idempotency_error" and status == httpx.codes.BAD_REQUEST:
        return KeyReused(text)
    if status == httpx.codes.CONFLICT:
        return Transient(text)
    if status == httpx.codes.FORBIDDEN:
        return BadCredential(text)
    if code.startswith("parameter_") or (status == httpx.codes.NOT_FOUND and code != "resource_missing"):
        return VendorDrift(text, path=param)
    return StripeRefused(text, status=status, code=code, param=param)
