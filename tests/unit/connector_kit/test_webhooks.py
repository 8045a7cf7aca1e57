"""A webhook is believed if it is signed, by its own bytes, lately (guarantee G10)."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis.strategies import binary, text

from integration_fabric.connector_kit.webhooks import SignatureWrong, TimestampedSignature

SECRET = "whsec_test"
NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
BODY = b'{"id": "evt_1", "amount": 100}'
VERIFIER = TimestampedSignature(header="Stripe-Signature", secret=SECRET)


def sign(body: bytes = BODY, *, at: datetime = NOW, secret: str = SECRET) -> str:
    stamp = str(int(at.timestamp()))
    return f"t={stamp},v1={hmac.new(secret.encode(), stamp.encode() + b'.' + body, hashlib.sha256).hexdigest()}"


def verify(header: str | None, body: bytes = BODY, *, now: datetime = NOW) -> None:
    VERIFIER.verify(body, {} if header is None else {"stripe-signature": header}, now)


def test_a_good_signature_is_believed() -> None:
    verify(sign())


@given(body=binary(max_size=200))
def test_any_bytes_can_be_signed(body: bytes) -> None:
    verify(sign(body), body)


def test_while_a_secret_is_changed_one_of_two_signatures_will_do() -> None:
    stamp, new = sign().split(",")
    old = sign(secret="whsec_old").split(",")[1]
    verify(f"{stamp},{old},{new}")
    verify(f"{stamp}, {new} , v0=ignored")


@pytest.mark.parametrize("age_s", [300, -300])
def test_a_signature_within_its_tolerance_is_believed(age_s: int) -> None:
    verify(sign(at=NOW - timedelta(seconds=age_s)))


@pytest.mark.parametrize("age_s", [301, -301, 86_400])
def test_a_signature_that_is_too_old_or_from_the_future_is_not(age_s: int) -> None:
    """A request that was overheard cannot be sent again later."""
    with pytest.raises(SignatureWrong, match="ago"):
        verify(sign(at=NOW - timedelta(seconds=age_s)))


def test_a_body_that_was_changed_on_the_way_is_not_believed() -> None:
    with pytest.raises(SignatureWrong, match="does not fit"):
        verify(sign(), BODY.replace(b"100", b"999"))


def test_a_time_that_was_changed_on_the_way_is_not_believed() -> None:
    old, signature = sign(at=NOW - timedelta(days=1)).split(",")
    fresh = sign().split(",")[0]
    assert old != fresh
    with pytest.raises(SignatureWrong, match="does not fit"):
        verify(f"{fresh},{signature}")


def test_another_secret_is_not_believed() -> None:
    with pytest.raises(SignatureWrong, match="does not fit"):
        verify(sign(secret="whsec_other"))


@pytest.mark.parametrize(
    "header", [None, "", "t=1", "v1=aa", "t=,v1=", "t=now,v1=aa", "t=1.5,v1=aa", "t=\xb2,v1=aa", "t=1;v1=aa", "garbage", ",,=,="]
)
def test_a_header_that_is_none_is_not_believed(header: str | None) -> None:
    with pytest.raises(SignatureWrong):
        verify(header)


@given(header=text(max_size=60))
def test_no_header_breaks_the_verifier(header: str) -> None:
    with pytest.raises(SignatureWrong):
        verify(header)


@given(signature=text(max_size=60))
def test_no_signature_breaks_the_verifier(signature: str) -> None:
    """Whoever has no secret may send any letters; that must not be another failure than a wrong signature."""
    with pytest.raises(SignatureWrong):
        verify(f"{sign().split(',')[0]},v1={signature}")
