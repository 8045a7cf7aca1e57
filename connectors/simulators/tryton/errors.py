"""Answers of the ERP simulator that are no success, as Tryton gives them: user errors as JSON, everything else as a page of HTML."""

from __future__ import annotations

from html import escape

from connectors.simulators.exchange import Answer, RefusedError

_TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    409: "Conflict",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}


def failure(status: int, message: str) -> Answer:
    """A page."""
    title = _TITLES.get(status, "Error")
    return Answer(status, f"<!doctype html>\n<html lang=en>\n<title>{status} {title}</title>\n<h1>{title}</h1>\n<p>{escape(message)}</p>\n")


def refused(message: str) -> RefusedError:
    """What a user is told: 400 `{"status": 400, "message", "description"}`."""
    return RefusedError(Answer(400, {"status": 400, "message": message, "description": ""}))


def not_found() -> RefusedError:
    """404."""
    return RefusedError(failure(404, "The requested URL was not found on the server."))


def forbidden() -> RefusedError:
    """403: there is no such button."""
    return RefusedError(failure(403, "You don't have the permission to access the requested resource."))


def crashed(message: str) -> RefusedError:
    """500: what Tryton answers to an unknown model, field or operator."""
    return RefusedError(failure(500, message))
