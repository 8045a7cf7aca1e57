"""Errors in Stripe's shape, for every module of the Stripe simulator."""

from __future__ import annotations

from connectors.simulators.exchange import Answer, JsonObject, RefusedError

_TYPES = {
    401: "invalid_request_error",
    409: "idempotency_error",
    429: "invalid_request_error",
    500: "api_error",
    502: "api_error",
    503: "api_error",
    504: "api_error",
}
_CODES = {409: "idempotency_key_in_use", 429: "rate_limit"}


def error(status: int, error_type: str, message: str, *, code: str | None = None, param: str | None = None, **more: str) -> Answer:
    """`{"error": {"type", "message", "code"?, "param"?, ...}}`."""
    content: JsonObject = {"type": error_type, "message": message, **more}
    if code is not None:
        content["code"] = code
    if param is not None:
        content["param"] = param
    return Answer(status, {"error": content})


def failure(status: int, message: str) -> Answer:
    """An error of the front door."""
    return error(status, _TYPES.get(status, "invalid_request_error"), message, code=_CODES.get(status))


def invalid(code: str, message: str, param: str) -> RefusedError:
    """400 about a parameter."""
    return RefusedError(error(400, "invalid_request_error", message, code=code, param=param))


def refused(message: str, param: str, *, code: str | None = None) -> RefusedError:
    """400: the object is in no state for that."""
    return RefusedError(error(400, "invalid_request_error", message, code=code, param=param))


def missing(kind: str, object_id: str, *, status: int, param: str = "id") -> RefusedError:
    """No such object: 404 where it is the address, 400 where a parameter names it."""
    message = f"No such {kind}: '{object_id}'"
    return RefusedError(error(status, "invalid_request_error", message, code="resource_missing", param=param))


def declined(param: str) -> RefusedError:
    """402: the card was declined."""
    message = "Your card was declined."
    return RefusedError(error(402, "card_error", message, code="card_declined", param=param, decline_code="generic_decline"))
