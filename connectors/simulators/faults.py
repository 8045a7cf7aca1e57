"""The switches of one vendor: what goes wrong, how often, and where its webhooks go. Set at the start and through the control API."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

_DAY_MS = 86_400_000


class Ability(StrEnum):
    """What a vendor must have for a switch to mean something there."""

    WEBHOOKS = "webhooks"
    IDEMPOTENCY_KEYS = "idempotency keys"
    UNIQUE_IDS = "unique external ids"


def _share(given: object) -> object:
    """`2%` as well as `0.02`."""
    text = given.strip() if isinstance(given, str) else ""
    if not text.endswith("%"):
        return given
    try:
        return float(text[:-1]) / 100
    except ValueError:
        return given


def _whole(given: object) -> object:
    return int(given) if isinstance(given, str) and given.strip().isdigit() else given


def _pairs(given: object) -> object:
    """`old:new,old2:new2` as well as a mapping or its JSON."""
    if not isinstance(given, str):
        return given
    if given.strip().startswith("{"):
        return json.loads(given)
    parts = [part.partition(":") for part in given.split(",") if part.strip()]
    if not all(colon for _, colon, _ in parts):
        raise ValueError("it is old:new, several by comma, e.g. name:full_name,email:mail")
    return {old.strip(): new.strip() for old, _, new in parts}


def _different(given: dict[str, str]) -> dict[str, str]:
    if same := [old for old, new in given.items() if old == new]:
        raise ValueError(f"{same[0]} is renamed to itself")
    return given


def _address(given: object) -> object:
    if given in ("", "none", None):
        return None
    if isinstance(given, str) and given.startswith(("http://", "https://")):
        return given
    raise ValueError("it is http://... or https://..., or none")


Rate = Annotated[float, BeforeValidator(_share), Field(ge=0, le=1)]
Milliseconds = Annotated[float, Field(ge=0, le=_DAY_MS)]
Status = Annotated[Literal[500, 502, 503, 504], BeforeValidator(_whole)]
Name = Annotated[str, StringConstraints(min_length=1)]
Renamed = Annotated[dict[Name, Name], BeforeValidator(_pairs), AfterValidator(_different)]
Address = Annotated[str | None, BeforeValidator(_address)]


class Switches(BaseModel):
    """Everything that can be switched; all off is a vendor in good health.

    They live in memory: a restart begins again with those of the command line. A rate is a share from 0 to 1, or `2%`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    latency_ms: Annotated[Milliseconds, Field(description="every answer takes this long")] = 0
    latency_jitter_ms: Annotated[Milliseconds, Field(description="and up to this much longer, evenly spread")] = 0
    offline: Annotated[
        bool,
        Field(
            description="connections are reset before the request is read, and no webhook leaves. On a shared port that is as near as one"
            " gets to 'nothing listens': a client sees a reset, not a refusal. For a refusal end a process that plays the vendor alone."
        ),
    ] = False
    error_rate: Annotated[Rate, Field(description="share of requests answered with error_status by the front door, without any effect")] = 0
    error_status: Annotated[Status, Field(description="what those requests are answered with: 500, 502, 503 or 504")] = 503
    effect_then_error_rate: Annotated[Rate, Field(description="share of writes answered 502 after their effect")] = 0
    effect_then_timeout_rate: Annotated[
        Rate, Field(description="share of writes that have their effect, then hang, then end without an answer")
    ] = 0
    hang_ms: Annotated[Milliseconds, Field(description="how long such a write hangs")] = 30_000
    throttle_rate: Annotated[Rate, Field(description="share of requests answered 429 with Retry-After, without any effect")] = 0
    retry_after_s: Annotated[int, Field(ge=0, le=86_400, description="value of Retry-After")] = 1
    expired_token: Annotated[bool, Field(description="every token is answered 401")] = False
    ignore_idempotency_keys: Annotated[
        bool, Ability.IDEMPOTENCY_KEYS, Field(description="a request whose key was used before is performed again")
    ] = False
    ignore_unique_ids: Annotated[
        bool,
        Ability.UNIQUE_IDS,
        Field(description="a second record with the same external id is made, by an upsert too"),
    ] = False
    renamed_fields: Annotated[
        Renamed, Field(description="fields that answers and webhooks have under another name, at any depth: old:new, several by comma")
    ] = Field(default_factory=dict)
    drift_rate: Annotated[Rate, Field(description="share of answers and webhooks in which fields are renamed")] = 1
    webhook_url: Annotated[Address, Ability.WEBHOOKS, Field(description="where webhooks go; without one they wait in the queue")] = None
    webhook_copies: Annotated[int, Ability.WEBHOOKS, Field(ge=1, le=100, description="each webhook is delivered so many times")] = 1
    webhook_duplicate_rate: Annotated[Rate, Ability.WEBHOOKS, Field(description="share of webhooks delivered once more")] = 0
    webhooks_paused: Annotated[bool, Ability.WEBHOOKS, Field(description="webhooks wait in the queue")] = False
    webhook_delay_ms: Annotated[Milliseconds, Ability.WEBHOOKS, Field(description="every webhook leaves so much later")] = 0
    webhook_delay_jitter_ms: Annotated[
        Milliseconds, Ability.WEBHOOKS, Field(description="and up to this much later still, evenly spread; one aggregate's stay in order")
    ] = 0
    webhook_loss_rate: Annotated[
        Rate,
        Ability.WEBHOOKS,
        Field(description="share of webhooks that the vendor believes delivered and that never arrive; its own list of events has them"),
    ] = 0
    webhook_reorder_rate: Annotated[
        Rate, Ability.WEBHOOKS, Field(description="share of webhooks that the next one of the same aggregate overtakes")
    ] = 0
    webhook_reorder_ms: Annotated[
        Milliseconds, Ability.WEBHOOKS, Field(description="how long such a webhook waits for the next one at the most")
    ] = 2_000
    webhook_corrupt_rate: Annotated[
        Rate, Ability.WEBHOOKS, Field(description="share of webhook deliveries whose signature does not fit; the next attempt may")
    ] = 0
    webhook_age_s: Annotated[float, Ability.WEBHOOKS, Field(ge=0, le=86_400, description="webhooks are signed as if so long ago")] = 0

    def changed(self, changes: Mapping[str, object]) -> Switches:
        """These with some replaced.

        Raises:
            pydantic.ValidationError: an unknown switch or a value out of range.
        """
        return Switches.model_validate(self.model_dump() | dict(changes))

    def healthy(self) -> Switches:
        """All faults off; webhooks go where they went."""
        return Switches(webhook_url=self.webhook_url)

    def switched_on(self) -> Collection[str]:
        """The names of those that are not as in a vendor in good health; where webhooks go is no fault."""
        return [name for name, value in self.model_dump().items() if value != getattr(_HEALTHY, name) and name != "webhook_url"]


_HEALTHY = Switches()


class UnsuitableSwitchError(ValueError):
    """The vendor has nothing that the switch could spoil; the message says which vendors do."""


@dataclass(frozen=True, slots=True)
class Description:
    """One switch of one vendor.

    Attributes:
        name: as in `Switches`.
        value: as it stands.
        default: of a vendor in good health.
        on: whether it is a fault that is switched on.
        taken: whether the vendor has what the switch needs.
        meaning: in one sentence.
    """

    name: str
    value: Any
    default: Any
    on: bool
    taken: bool
    meaning: str


class Panel:
    """The switches of one vendor as they stand now.

    Args:
        vendor: whose.
        initial: those of the start.
        abilities: by vendor, what it has; of all vendors, so that a refusal can say who takes a switch.

    Raises:
        UnsuitableSwitchError: one of the start is not for this vendor.
    """

    def __init__(self, vendor: str, initial: Switches, abilities: Mapping[str, Collection[Ability]]) -> None:
        self._vendor = vendor
        self._abilities = abilities
        self._initial = initial
        self.now = initial
        self._check(initial)

    def change(self, changes: Mapping[str, object]) -> Switches:
        """Replace some; the others stay.

        Raises:
            pydantic.ValidationError: an unknown switch or a value out of range.
            UnsuitableSwitchError: the vendor has nothing that the switch could spoil. Switching it off is no mistake.
        """
        changed = self.now.changed(changes)
        self._check(changed)
        self.now = changed
        return self.now

    def clear(self) -> Switches:
        """Switch all faults off; webhooks go where they went."""
        self.now = self.now.healthy()
        return self.now

    def restore(self) -> None:
        """Back to those of the start."""
        self.now = self._initial

    def described(self) -> list[Description]:
        """Every switch as it stands, with its meaning."""
        on = self.now.switched_on()
        return [
            Description(
                name=name,
                value=getattr(self.now, name),
                default=getattr(_HEALTHY, name),
                on=name in on,
                taken=self._takes(name),
                meaning=field.description or "",
            )
            for name, field in Switches.model_fields.items()
        ]

    def _check(self, switches: Switches) -> None:
        for name in Switches.model_fields:
            if getattr(switches, name) != getattr(_HEALTHY, name) and not self._takes(name):
                need = need_of(name)
                others = [vendor for vendor, has in self._abilities.items() if need in has]
                raise UnsuitableSwitchError(f"{name}: {self._vendor} has no {need}; taken by {', '.join(others)}")

    def _takes(self, name: str) -> bool:
        need = need_of(name)
        return need is None or need in self._abilities[self._vendor]


def need_of(switch: str) -> Ability | None:
    """What a vendor must have for a switch to mean something there; None where every vendor takes it."""
    return next((each for each in Switches.model_fields[switch].metadata if isinstance(each, Ability)), None)


def renamed(value: Any, names: Mapping[str, str]) -> Any:
    """A JSON value in which fields have other names, at any depth; a field that had the new name before is gone."""
    if isinstance(value, dict):
        taken = {new for old, new in names.items() if old in value}
        return {names.get(name, name): renamed(each, names) for name, each in value.items() if name in names or name not in taken}
    if isinstance(value, list):
        return [renamed(each, names) for each in value]
    return value


def describe_problems(error: ValidationError) -> str:
    """What is wrong with switches, in one line."""
    return "; ".join(f"{'.'.join(map(str, each['loc']))}: {_reason(each['type'], each['msg'])}" for each in error.errors())


def _reason(kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        return f"there is no such switch; there are {', '.join(Switches.model_fields)}"
    return message.removeprefix("Value error, ")


def parse_switch(text: str, vendors: Sequence[str]) -> tuple[str, str, str]:
    """Take `VENDOR.SWITCH=VALUE` apart.

    Raises:
        ValueError: it has another form, or names an unknown vendor or switch.
    """
    left, equals, value = text.partition("=")
    vendor, dot, switch = left.partition(".")
    if not equals or not dot:
        raise ValueError(f"'{text}' is not VENDOR.SWITCH=VALUE, e.g. stripe.error_rate=0.1")
    if vendor not in vendors:
        raise ValueError(f"'{text}': no vendor '{vendor}'; there are {', '.join(vendors)}")
    if switch not in Switches.model_fields:
        raise ValueError(f"'{text}': no switch '{switch}'; there are {', '.join(Switches.model_fields)}")
    return vendor, switch, value
