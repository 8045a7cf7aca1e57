"""Calls that only read: HTTP clients ask before each request that would change something; in a shadow it is told, not sent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_WITHHELD: ContextVar[bool] = ContextVar("withheld", default=False)


class Withheld(Exception):
    """A request that would have changed something was not sent. No failure of the call: nobody answers what follows from it.

    Args:
        method: HTTP method.
        path: Of the URL, without its query.
        size_bytes: Of the body.
    """

    def __init__(self, method: str, path: str, size_bytes: int) -> None:
        super().__init__(f"{method} {path}")
        self.method, self.path, self.size_bytes = method, path, size_bytes


@contextmanager
def withholding_writes() -> Iterator[None]:
    """While inside, and in the tasks that are begun inside, nothing is sent that would change anything."""
    token = _WITHHELD.set(True)
    try:
        yield
    finally:
        _WITHHELD.reset(token)


def before_writing(method: str, path: str, size_bytes: int) -> None:
    """What every HTTP client does before a request that changes something. Raises Withheld inside `withholding_writes`."""
    if _WITHHELD.get():
        raise Withheld(method, path, size_bytes)
