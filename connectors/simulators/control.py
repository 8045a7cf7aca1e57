"""A client of the simulators' control API, for tests and demos: switch faults, and count effects by asking the systems."""

from __future__ import annotations

from collections.abc import Mapping
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
    error_status: int
    effect_then_error_rate: float
    effect_then_timeout_rate: float
    hang_ms: float
    throttle_rate: float
    retry_after_s: int
    expired_token: bool
    ignore_idempotency_keys: bool
    ignore_unique_ids: bool
    renamed_fields: dict[str, str]
    drift_rate: float
    webhook_url: str | None
    webhook_copies: int
    webhook_duplicate_rate: float
    webhooks_paused: bool
    webhook_delay_ms: float
    webhook_delay_jitter_ms: float
    webhook_loss_rate: float
    webhook_reorder_rate: float
    webhook_reorder_ms: float
    webhook_corrupt_rate: float
    webhook_age_s: float


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


@dataclass(frozen=True, slots=True)
class SeenSwitch:
    """One switch of a vendor as it stands; the attributes are those of `faults.Description`."""

    name: str
    value: Any
    default: Any
    on: bool
    taken: bool
    meaning: str


class ControlError(Exception):
    """The control API refused; the message says why, and `reason` without what was asked."""

    def __init__(self, asked: str, status: int, reason: str) -> None:
        super().__init__(f"{asked}: {status} {reason}")
        self.reason = reason


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

    async def vendors(self) -> list[str]:
        """Which vendors are played here."""
        return list(await self._ask("GET", "/_control"))

    async def set_faults(self, vendor: str, **changes: Unpack[FaultChanges]) -> None:
        """Change switches of a vendor; the others stay as they are."""
        await self.change(vendor, dict(changes))

    async def change(self, vendor: str, changes: Mapping[str, object]) -> dict[str, Any]:
        """Change switches as people write them, e.g. `{"error_rate": "2%"}`; how all stand then. Raises ControlError for a wrong one."""
        switches: dict[str, Any] = await self._ask("PUT", f"/_control/{vendor}", json=dict(changes))
        return switches

    async def clear_faults(self, vendor: str) -> None:
        """Switch all faults of a vendor off; its records stay, and its webhooks go where they went."""
        await self._ask("DELETE", f"/_control/{vendor}")

    async def switches(self, vendor: str) -> list[SeenSwitch]:
        """Every switch of a vendor with its meaning."""
        return [SeenSwitch(**each) for each in await self._ask("GET", f"/_control/{vendor}/switches")]

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
        """Number of webhooks by state: `pending`, `delivered`, `given_up`, `lost`."""
        counts: dict[str, int] = await self._ask("GET", f"/_control/{vendor}/webhooks")
        return counts

    async def reset(self, vendor: str | None = None) -> None:
        """As at the start: empty (the ERP with its master data), with the switches of the command line; one vendor, or all."""
        await self._ask("POST", "/_control/reset", params={} if vendor is None else {"vendor": vendor})

    async def _ask(self, method: str, path: str, *, params: dict[str, str] | None = None, json: dict[str, Any] | None = None) -> Any:
        response = await self._http.request(method, path, params=params, json=json)
        if response.is_error:
            raise ControlError(f"{method} {path}", response.status_code, _detail(response))
        return response.json()


def _detail(response: httpx.Response) -> str:
    """What the control API says is wrong; the whole answer where something else answers."""
    try:
        return str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return response.text
