"""The one error tree of the fabric; whoever fails raises one of these, and `runtime.failures` alone turns them into a policy.

FabricError
├── Transient            try again in the lane
├── UnknownOutcome       sent, and no answer: never resent blindly
├── Throttled            the system asks for less
├── Unavailable          nothing listens, or our own store or broker is down: wait
├── BadCredential        the system does not know us
├── DataProblem          master data or a mapping is missing: its owner is told
├── MissingParent        something that must come first has not come yet
├── Conflict             the system is in another state than the message expects
├── VendorDrift          the vendor sent what its pinned version does not allow
├── Undecodable          bytes that are no message
├── ContractBroken       a body that breaks its schema: it does not reach a topic
├── Fenced               another worker owns the partition now
└── UsageProblem         a wrong setting or argument: said in one line, exit code 2
    └── Unreachable      a system that a command needs does not answer: exit code 3
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import ClassVar


class FailureClass(StrEnum):
    """The classes of guarantee G4, each with one policy."""

    TRANSIENT = "transient"
    UNKNOWN = "unknown"
    THROTTLED = "throttled"
    UNAVAILABLE = "unavailable"
    CREDENTIAL = "credential"
    DATA = "data"
    MISSING_PARENT = "missing_parent"
    CONFLICT = "conflict"
    VENDOR_DRIFT = "vendor_drift"
    DEFECT = "defect"
    UNDECODABLE = "undecodable"


class FabricError(Exception):
    """Something that the fabric has a name and a policy for. `code` is stable: people and rules match on it."""

    code: ClassVar[str] = "fabric-error"
    failure: ClassVar[FailureClass] = FailureClass.DEFECT


class Transient(FabricError):
    """Nothing was sent, or nothing was changed; trying again may well work."""

    code = "transient"
    failure = FailureClass.TRANSIENT


class UnknownOutcome(FabricError):
    """A write was sent and its answer did not come, or said nothing about what was done."""

    code = "unknown-outcome"
    failure = FailureClass.UNKNOWN


class Throttled(FabricError):
    """The system asks for less; the call had no effect."""

    code = "throttled"
    failure = FailureClass.THROTTLED

    def __init__(self, message: str, *, retry_after: timedelta | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unavailable(FabricError):
    """Nothing listens, and nothing was sent. It says nothing about the message.

    Args:
        message: For people.
        retry_after: When to try again, where that is known.
    """

    code = "unavailable"
    failure = FailureClass.UNAVAILABLE

    def __init__(self, message: str, *, retry_after: timedelta | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class BadCredential(FabricError):
    """The system does not accept our credential; nothing was done."""

    code = "bad-credential"
    failure = FailureClass.CREDENTIAL


class DataProblem(FabricError):
    """Master data or a mapping is missing or wrong.

    Args:
        entity: The canonical entity, e.g. `tax-code`.
        field: The field path that names it.
        value: Its value.
        hint: What to do about it.
        code: A stable code, e.g. `unknown-tax-code`.
    """

    code = "data-problem"
    failure = FailureClass.DATA

    def __init__(self, *, field: str, value: str, hint: str, entity: str = "", code: str = "data-problem") -> None:
        super().__init__(f"{field}={value!r}: {hint}")
        self.entity, self.field, self.value, self.hint, self.problem_code = entity, field, value, hint, code


class MissingParent(FabricError):
    """Something that must come first has not come yet, e.g. the invoice of a payment."""

    code = "missing-parent"
    failure = FailureClass.MISSING_PARENT


class Conflict(FabricError):
    """The system is in another state than the message expects, e.g. already cancelled."""

    code = "conflict"
    failure = FailureClass.CONFLICT


class VendorDrift(FabricError):
    """The vendor sent what its pinned API version does not allow."""

    code = "vendor-drift"
    failure = FailureClass.VENDOR_DRIFT

    def __init__(self, message: str, *, path: str = "") -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.path = path


class Undecodable(FabricError):
    """Bytes that are no message: not the Confluent wire format, an id that the registry does not know, or no Avro of that schema."""

    code = "undecodable"
    failure = FailureClass.UNDECODABLE


class ContractBroken(FabricError):
    """A body that breaks its schema. The message names the field path."""

    code = "contract-broken"
    failure = FailureClass.DEFECT


class Fenced(FabricError):
    """Another worker owns the partition now: forget everything about it."""

    code = "fenced"
    failure = FailureClass.TRANSIENT


class UsageProblem(FabricError):
    """A wrong setting or argument. The message is one line: which setting, what was tried, what to do."""

    code = "usage"
    exit_code: ClassVar[int] = 2


class Unreachable(UsageProblem):
    """A system that a command needs does not answer. The message is one line, as above."""

    code = "unreachable"
    exit_code = 3
