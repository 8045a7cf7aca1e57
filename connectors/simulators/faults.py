"""The switches of one vendor: what goes wrong, how often, and where its webhooks go. Set at the start and through the control API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Rate = Annotated[float, Field(ge=0, le=1)]


class Switches(BaseModel):
    """Everything that can be switched; all off is a vendor in good health.

    They live in memory: a restart begins again with those of the command line.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    latency_ms: Annotated[float, Field(ge=0, description="every answer takes this long")] = 0
    latency_jitter_ms: Annotated[float, Field(ge=0, description="and up to this much longer, evenly spread")] = 0
    offline: Annotated[
        bool,
        Field(
            description="connections are reset before the request is read, and no webhook leaves. On a shared port that is as near as one"
            " gets to 'nothing listens': a client sees a reset, not a refusal. For a refusal end a process that plays the vendor alone."
        ),
    ] = False
    error_rate: Annotated[Rate, Field(description="share of requests answered 503 by the front door, without any effect")] = 0
    effect_then_error_rate: Annotated[Rate, Field(description="share of writes answered 502 after their effect")] = 0
    effect_then_timeout_rate: Annotated[
        Rate, Field(description="share of writes that have their effect, then hang, then end without an answer")
    ] = 0
    hang_ms: Annotated[float, Field(ge=0, description="how long such a write hangs")] = 30_000
    throttle_rate: Annotated[Rate, Field(description="share of requests answered 429 with Retry-After, without any effect")] = 0
    retry_after_s: Annotated[int, Field(ge=0, description="value of Retry-After")] = 1
    expired_token: Annotated[bool, Field(description="every token is answered 401")] = False
    webhook_url: Annotated[str | None, Field(description="where webhooks go; without one they wait in the queue")] = None
    webhook_copies: Annotated[int, Field(ge=1, le=100, description="each webhook is delivered so many times")] = 1
    webhooks_paused: Annotated[bool, Field(description="webhooks wait in the queue")] = False

    def changed(self, changes: dict[str, object]) -> Switches:
        """These with some replaced.

        Raises:
            pydantic.ValidationError: an unknown switch or a value out of range.
        """
        return Switches.model_validate(self.model_dump() | changes)


class Panel:
    """The switches of one vendor as they stand now."""

    def __init__(self, initial: Switches) -> None:
        self._initial = initial
        self.now = initial

    def change(self, changes: dict[str, object]) -> Switches:
        """Replace some; the others stay."""
        self.now = self.now.changed(changes)
        return self.now

    def restore(self) -> None:
        """Back to those of the start."""
        self.now = self._initial


def describe_problems(error: ValidationError) -> str:
    """What is wrong with switches, in one line."""
    return "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())


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
