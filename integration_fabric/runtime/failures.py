"""The one classifier: what a failure means for the message, the lane and the system (guarantee G4). Pure."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import timedelta
from typing import assert_never

from integration_fabric.messages.errors import DataProblem, FabricError, FailureClass, Throttled, Unavailable
from integration_fabric.runtime.policy import Policy


@dataclass(frozen=True, slots=True)
class RetryAfter:
    """Try again in the lane, after this long; counts as an attempt."""

    delay: timedelta
    aside: bool = False
    """Whether other lanes may have its place meanwhile: it waits for them, or for others like them."""


@dataclass(frozen=True, slots=True)
class WaitForSystem:
    """It says nothing about the message: wait this long and try again, without a bound and without counting."""

    delay: timedelta


@dataclass(frozen=True, slots=True)
class GiveUp:
    """It becomes a dead letter."""

    failure: FailureClass
    code: str


Decision = RetryAfter | WaitForSystem | GiveUp


def classify(error: BaseException) -> FailureClass:
    """The class of a failure; what has none is a defect."""
    return error.failure if isinstance(error, FabricError) else FailureClass.DEFECT


def code_of(error: BaseException) -> str:
    """The stable code of a failure; a defect's is its exception's name."""
    if isinstance(error, DataProblem):
        return error.problem_code
    return error.code if isinstance(error, FabricError) else type(error).__name__


def decide(error: BaseException, *, policy: Policy, attempts: int, waits: int, elapsed: timedelta, dice: random.Random) -> Decision:
    """Say what follows a failed attempt.

    Args:
        error: What was raised.
        policy: The subscriber's.
        attempts: How many attempts failed in this way so far, this one included; waits for a system are none.
        waits: How often the lane has waited for its system in a row.
        elapsed: Since the first attempt that failed in this way, less the time that systems were away.
        dice: For the jitter.
    """
    failure = classify(error)
    match failure:
        case FailureClass.TRANSIENT:
            if attempts >= policy.max_attempts or elapsed >= policy.max_retry_time:
                return GiveUp(failure, code_of(error))
            return RetryAfter(back_off(attempts, policy, dice))
        case FailureClass.MISSING_PARENT:
            if elapsed >= policy.parent_wait:
                return GiveUp(FailureClass.DATA, code_of(error))
            return RetryAfter(back_off(attempts, policy, dice), aside=True)
        case FailureClass.THROTTLED:
            asked = error.retry_after if isinstance(error, Throttled) else None
            return WaitForSystem(asked or back_off(waits + 1, policy, dice))
        case FailureClass.UNAVAILABLE | FailureClass.CREDENTIAL:
            known = error.retry_after if isinstance(error, Unavailable) else None
            return WaitForSystem(known or back_off(waits + 1, policy, dice))
        case (
            FailureClass.UNKNOWN
            | FailureClass.DATA
            | FailureClass.CONFLICT
            | FailureClass.VENDOR_DRIFT
            | FailureClass.DEFECT
            | FailureClass.UNDECODABLE
        ):
            return GiveUp(failure, code_of(error))
        case _:
            assert_never(failure)


def back_off(attempt: int, policy: Policy, dice: random.Random) -> timedelta:
    """Exponential back-off with full jitter, from a quarter of the step up, so that waiting lanes do not come back together.

    Source: Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """
    step = min(policy.retry_cap, policy.retry_base * 2 ** min(attempt - 1, 20))
    return timedelta(seconds=step.total_seconds() * dice.uniform(0.25, 1.0))
