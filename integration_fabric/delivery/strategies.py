"""How an outside effect is made to happen once (guarantee G2). Declared with each action."""

from __future__ import annotations

from enum import StrEnum


class Strategy(StrEnum):
    """What may be done once it is not known whether a call was carried out."""

    NATIVE_KEY = "native_key"
    """The vendor dedupes on our key: the same call may be sent again at once."""
    UPSERT = "upsert"
    """The call sets state by external id: it may be sent again once the first can no longer land."""
    LOOKUP_FIRST = "lookup_first"
    """The vendor is asked by external id before anything is sent again."""
    UNSAFE = "unsafe"
    """Nothing is sent again by itself: a person decides."""
