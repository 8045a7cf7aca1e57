"""What each class of failure means for the message, the lane and the system: the table of guarantee G4."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis.strategies import integers

from integration_fabric.messages.errors import (
    BadCredential,
    Conflict,
    ContractBroken,
    DataProblem,
    FailureClass,
    MissingParent,
    Throttled,
    Transient,
    Unavailable,
    Undecodable,
    UnknownOutcome,
    VendorDrift,
)
from integration_fabric.runtime.failures import Decision, GiveUp, RetryAfter, WaitForSystem, back_off, decide
from integration_fabric.runtime.policy import Policy

POLICY = Policy(max_attempts=3, max_retry_time=timedelta(minutes=2), parent_wait=timedelta(minutes=1))
Decide = Callable[..., Decision]


def decided(error: BaseException, *, attempts: int = 1, waits: int = 0, elapsed_s: float = 0) -> Decision:
    elapsed = timedelta(seconds=elapsed_s)
    return decide(error, policy=POLICY, attempts=attempts, waits=waits, elapsed=elapsed, dice=random.Random(1))


@pytest.mark.parametrize(
    ("error", "failure", "code"),
    [
        (UnknownOutcome("?"), FailureClass.UNKNOWN, "unknown-outcome"),
        (DataProblem(field="f", value="v", hint="h", code="unknown-tax-code"), FailureClass.DATA, "unknown-tax-code"),
        (Conflict("already cancelled"), FailureClass.CONFLICT, "conflict"),
        (VendorDrift("no id"), FailureClass.VENDOR_DRIFT, "vendor-drift"),
        (Undecodable("no Avro"), FailureClass.UNDECODABLE, "undecodable"),
        (ContractBroken("no quote_id"), FailureClass.DEFECT, "contract-broken"),
        (KeyError("quote"), FailureClass.DEFECT, "KeyError"),
    ],
)
def test_what_trying_again_does_not_mend_is_given_up_at_once(error: Exception, failure: FailureClass, code: str) -> None:
    assert decided(error) == GiveUp(failure, code)


@pytest.mark.parametrize("error", [Unavailable("down"), BadCredential("401"), Throttled("429")])
def test_what_says_nothing_about_the_message_waits_without_a_bound(error: Exception) -> None:
    assert isinstance(decided(error, attempts=1000, waits=1000, elapsed_s=10**6), WaitForSystem)


def test_a_system_that_says_how_long_is_believed() -> None:
    assert decided(Throttled("429", retry_after=timedelta(seconds=17))) == WaitForSystem(timedelta(seconds=17))


def test_a_transient_failure_is_tried_again_until_the_attempts_are_used_up() -> None:
    assert isinstance(decided(Transient("lock"), attempts=2), RetryAfter)
    assert decided(Transient("lock"), attempts=3) == GiveUp(FailureClass.TRANSIENT, "transient")


def test_a_transient_failure_is_tried_again_until_the_time_is_used_up() -> None:
    assert isinstance(decided(Transient("lock"), elapsed_s=119), RetryAfter)
    assert decided(Transient("lock"), elapsed_s=120) == GiveUp(FailureClass.TRANSIENT, "transient")


def test_a_missing_parent_is_waited_for_a_while_and_then_is_a_matter_of_data() -> None:
    assert isinstance(decided(MissingParent("invoice"), attempts=50, elapsed_s=59), RetryAfter)
    assert decided(MissingParent("invoice"), elapsed_s=60) == GiveUp(FailureClass.DATA, "missing-parent")


@given(attempt=integers(1, 10**9), seed=integers())
def test_back_off_stays_within_its_bounds(attempt: int, seed: int) -> None:
    delay = back_off(attempt, POLICY, random.Random(seed))
    assert POLICY.retry_base / 4 <= delay <= POLICY.retry_cap


def test_back_off_grows_and_has_jitter() -> None:
    mean = [sum(back_off(n, POLICY, random.Random(seed)).total_seconds() for seed in range(50)) / 50 for n in (1, 3, 5)]
    assert mean[0] * 3 < mean[1] < mean[2] / 3
    assert len({back_off(3, POLICY, random.Random(seed)) for seed in range(50)}) == 50
