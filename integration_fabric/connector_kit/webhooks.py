"""Webhook signatures, checked on the raw bytes before anything is parsed (guarantee G10)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Protocol


class SignatureWrong(Exception):
    """Not from who it says it is from, or changed on the way."""

    code = "signature-wrong"


class SignatureTooOld(SignatureWrong):
    """Signed too long ago, or in the future: somebody may be sending again what he has overheard."""

    code = "signature-too-old"


class Verifier(Protocol):
    """How one vendor signs."""

    def verify(self, body: bytes, headers: Mapping[str, str], now: datetime) -> None:
        """Raises SignatureWrong. `headers` has lower-case names."""
        ...


class TimestampedSignature(Verifier):
    """`t=<unix time>,v1=<hex HMAC-SHA-256 of "t.body">`, as Stripe and others sign.

    Source: Stripe, "Verify webhook signatures manually".
    """

    def __init__(self, *, header: str, secret: str, tolerance: timedelta = timedelta(minutes=5)) -> None:
        """Take the header's name, the shared secret and how old a signature may be."""
        self._header, self._secret, self._tolerance = header.lower(), secret.encode(), tolerance

    def verify(self, body: bytes, headers: Mapping[str, str], now: datetime) -> None:
        """Raises SignatureWrong."""
        parts = [part.strip().partition("=") for part in headers.get(self._header, "").split(",")]
        stamps = [value for name, _, value in parts if name == "t"]
        signatures = [value for name, _, value in parts if name == "v1"]
        if not stamps or not signatures or not (stamps[0].isascii() and stamps[0].isdigit()):
            raise SignatureWrong(f"header {self._header} has no t= and v1=")
        expected = hmac.new(self._secret, stamps[0].encode() + b"." + body, hashlib.sha256).hexdigest().encode()
        # as bytes: of texts only ASCII ones can be compared, and anybody may send others
        if not any(hmac.compare_digest(expected, found.encode("utf-8", "replace")) for found in signatures):
            raise SignatureWrong("the signature does not fit the body")
        if abs(now.timestamp() - int(stamps[0])) > self._tolerance.total_seconds():
            raise SignatureTooOld(f"signed more than {self._tolerance} ago, or ahead")
