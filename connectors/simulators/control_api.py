"""The control API of the simulators: switches, counts, records, calls, reset. Served beside the vendors; `control.py` is its client."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Body, HTTPException
from pydantic import ValidationError

from connectors.simulators.exchange import Vendor
from connectors.simulators.faults import Description, Panel, Switches, UnsuitableSwitchError, describe_problems
from connectors.simulators.outbox import Outbox
from connectors.simulators.store import Store


@dataclass(frozen=True, slots=True)
class Controlled:
    """One vendor as the control API sees it; `wake` makes its webhooks look at the switches again."""

    vendor: Vendor
    store: Store
    panel: Panel
    wake: Callable[[], None]

    def settle(self) -> None:
        """Advance what moves by itself, so that what is read is what a caller would see."""
        with self.store.transaction():
            self.vendor.settle(self.store)

    def seed_if_empty(self) -> None:
        """Fill a store that was never written to."""
        with self.store.transaction():
            if self.store.is_empty():
                self.vendor.seed(self.store)

    def reset(self) -> None:
        """As at the very start: empty or seeded, with the switches of the command line."""
        with self.store.transaction():
            self.store.empty()
            self.vendor.seed(self.store)
        self.panel.restore()
        self.wake()


class _ControlRoutes:
    """The handlers; FastAPI takes the parameters from their signatures."""

    def __init__(self, controlled: Mapping[str, Controlled]) -> None:
        self._controlled = controlled

    async def health(self) -> dict[str, str]:
        return {"status": "ok"}

    async def switches_of_all(self) -> dict[str, Switches]:
        return {name: each.panel.now for name, each in self._controlled.items()}

    async def switches(self, vendor: str) -> Switches:
        return self._named(vendor).panel.now

    async def change_switches(self, vendor: str, changes: Annotated[dict[str, Any], Body()]) -> Switches:
        controlled = self._named(vendor)
        try:
            switches = controlled.panel.change(changes)
        except ValidationError as error:
            raise HTTPException(422, f"switches of {vendor}: {describe_problems(error)}") from error
        except UnsuitableSwitchError as error:
            raise HTTPException(422, f"switches of {vendor}: {error}") from error
        controlled.wake()
        return switches

    async def clear_switches(self, vendor: str) -> Switches:
        controlled = self._named(vendor)
        switches = controlled.panel.clear()
        controlled.wake()
        return switches

    async def described_switches(self, vendor: str) -> list[Description]:
        return self._named(vendor).panel.described()

    async def counts(self, vendor: str) -> dict[str, int]:
        controlled = self._named(vendor)
        controlled.settle()
        return controlled.store.counts()

    async def records(self, vendor: str, kind: str, external_id: str | None = None) -> list[dict[str, Any]]:
        controlled = self._named(vendor)
        controlled.settle()
        store = controlled.store
        found = store.find(kind) if external_id is None else store.by_external_id(kind, external_id)
        return [asdict(record) for record in found]

    async def calls(self, vendor: str, external_id: str | None = None) -> list[dict[str, Any]]:
        return [asdict(call) for call in self._named(vendor).store.calls(external_id)]

    async def webhooks(self, vendor: str) -> dict[str, int]:
        return Outbox(self._named(vendor).store).counts()

    async def reset(self, vendor: str | None = None) -> dict[str, list[str]]:
        chosen = [self._named(vendor)] if vendor else list(self._controlled.values())
        for each in chosen:
            each.reset()
        return {"reset": [each.vendor.name for each in chosen]}

    def _named(self, vendor: str) -> Controlled:
        if vendor not in self._controlled:
            raise HTTPException(404, f"no vendor '{vendor}' here; there are {', '.join(self._controlled)}")
        return self._controlled[vendor]


def control_router(controlled: Mapping[str, Controlled]) -> APIRouter:
    """The routes under `/_control`."""
    routes = _ControlRoutes(controlled)
    router = APIRouter(prefix="/_control")
    router.add_api_route("", routes.switches_of_all, methods=["GET"])
    router.add_api_route("/health", routes.health, methods=["GET"])
    router.add_api_route("/reset", routes.reset, methods=["POST"])
    router.add_api_route("/{vendor}", routes.switches, methods=["GET"])
    router.add_api_route("/{vendor}", routes.change_switches, methods=["PUT"])
    router.add_api_route("/{vendor}", routes.clear_switches, methods=["DELETE"])
    router.add_api_route("/{vendor}/switches", routes.described_switches, methods=["GET"])
    router.add_api_route("/{vendor}/counts", routes.counts, methods=["GET"])
    router.add_api_route("/{vendor}/records", routes.records, methods=["GET"])
    router.add_api_route("/{vendor}/calls", routes.calls, methods=["GET"])
    router.add_api_route("/{vendor}/webhooks", routes.webhooks, methods=["GET"])
    return router
