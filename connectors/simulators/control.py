"""A client of the simulators' control API, for tests and demos: switch faults, and count effects by asking the systems."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypedDict, Unpack

import httpx


class FaultChanges(TypedDict, total=False):
    """Switches to change; what is not named stays. Meanings and ranges are those of `faults.Switches`."""

    latency_ms: float
    latency_jitter_ms: float
    offline: bool
    error_rate: float
    effect_then_error_rate: float
    effect_then_timeout_rate: float
    hang_ms: float
    throttle_rate: float
    retry_after_s: int
    expired_token: bool
    webhook_url: str | None
    webhook_copies: int
    webhooks_paused: bool


@dataclass(frozen=True, slots=True)
class SeenRecord:
    """A record as the vendor has it; `external_id` is the caller's own id of it."""

    kind: str
    id: str
    external_id: str | None
    body: dict[str, Any]
    created_at: str
    changed_at: str


@dataclass(frozen=True, slots=True)
class SeenCall:
    """A write call that reached the vendor; `position` is the order in which they were performed."""

    position: int
    at: str
    method: str
    path: str
    kind: str | None
    external_id: str | None
    status: int


class ControlError(Exception):
    """The control API refused; the message says why."""


class SimulatorControl:
    """The control API.

    Args:
        base_url: of the simulators, e.g. `http://127.0.0.1:8100`.
    """

    def __init__(self, base_url: str) -> None:
        self._http = httpx.AsyncClient(base_url=base_url, trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def healthy(self) -> bool:
        """Whether the simulators answer."""
        try:
            return (await self._http.get("/_control/health")).is_success
        except httpx.TransportError:
            return False

    async def set_faults(self, vendor: str, **changes: Unpack[FaultChanges]) -> None:
        """Change switches of a vendor; the others stay as they are."""
        await self._ask("PUT", f"/_control/{vendor}", json=dict(changes))

    async def faults(self, vendor: str) -> dict[str, Any]:
        """The switches of a vendor."""
        switches: dict[str, Any] = await self._ask("GET", f"/_control/{vendor}")
        return switches

    async def counts(self, vendor: str) -> dict[str, int]:
        """Number of records by kind; a kind without records is not there."""
        counts: dict[str, int] = await self._ask("GET", f"/_control/{vendor}/counts")
        return counts

    async def records(self, vendor: str, kind: str, *, external_id: str | None = None) -> list[SeenRecord]:
        """Every record of a kind, oldest first; those with one external id where it is given."""
        params = {"kind": kind} | ({} if external_id is None else {"external_id": external_id})
        return [SeenRecord(**each) for each in await self._ask("GET", f"/_control/{vendor}/records", params=params)]

    async def calls(self, vendor: str, external_id: str | None = None) -> list[SeenCall]:
        """Write calls in order; those about one external id where it is given."""
        params = {} if external_id is None else {"external_id": external_id}
        return [SeenCall(**each) for each in await self._ask("GET", f"/_control/{vendor}/calls", params=params)]

    async def webhooks(self, vendor: str) -> dict[str, int]:
        """Number of webhooks by state: `pending`, `delivered`, `given_up`."""
        counts: dict[str, int] = await self._ask("GET", f"/_control/{vendor}/webhooks")
        return counts

    async def reset(self, vendor: str | None = None) -> None:
        """As at the start: empty (the ERP with its master data), with the switches of the command line; one vendor, or all."""
        await self._ask("POST", "/_control/reset", params={} if vendor is None else {"vendor": vendor})

    async def _ask(self, method: str, path: str, *, params: dict[str, str] | None = None, json: dict[str, Any] | None = None) -> Any:
        response = await self._http.request(method, path, params=params, json=json)
        if response.is_error:
            raise ControlError(f"{method} {path}: {response.status_code} {response.text}")
        return response.json()
