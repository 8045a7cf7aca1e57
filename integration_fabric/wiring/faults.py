"""The fault switches of the systems that simulators play, by the systems' names in the settings. For tools: each call opens and closes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

import httpx

from connectors.simulators.control import ControlError, SeenSwitch, SimulatorControl
from integration_fabric.messages.errors import Unreachable, UsageProblem
from integration_fabric.wiring.settings import Settings, SystemSettings

Switch = SeenSwitch
"""One switch of a system as it stands, with its meaning."""
START = "start simulators with `fabric up --systems simulators`"


class Played(StrEnum):
    """Who plays a system."""

    SIMULATED = "simulated"
    REAL = "real"
    """It has no switches."""
    SILENT = "silent"
    """Nothing answers there, so that nobody can say."""


@dataclass(frozen=True, slots=True)
class SystemFaults:
    """One system of the settings with its switches; none where it is no simulator."""

    name: str
    vendor: str
    url: str
    played: Played
    switches: Sequence[Switch] = ()

    @property
    def on(self) -> Sequence[Switch]:
        """Those that are switched on."""
        return [switch for switch in self.switches if switch.on]


@dataclass(frozen=True, slots=True)
class Change:
    """One switch that was set."""

    switch: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Cleared:
    """One simulated system, with the switches that were on."""

    name: str
    switches: Sequence[Switch]


def control_url(system: SystemSettings) -> str:
    """Where the control API of a system is, if a simulator plays it: at the root of its server."""
    parts = urlsplit(system.url)
    return f"{parts.scheme}://{parts.netloc}"


def read_faults(settings: Settings, name: str | None = None) -> Sequence[SystemFaults]:
    """The switches of one system, or of all.

    Raises:
        UsageProblem: no system is set, none has this name, or the one that is named is a real one.
        Unreachable: the one that is named does not answer; none does.
    """
    found = asyncio.run(_look_at(_chosen(settings, name)))
    if name is not None or all(each.played is Played.SILENT for each in found):
        _check_simulated(found[0])
    return found


def set_faults(settings: Settings, name: str, changes: Mapping[str, str]) -> Sequence[Change]:
    """Set switches of one system, all or none of them.

    Args:
        settings: With the system.
        name: Of the system.
        changes: By switch, as people write them: `2%`, `true`, `name:full_name`.

    Returns:
        Each with what it was before, in the given order.

    Raises:
        UsageProblem: as `read_faults`, or there is no such switch, or its value is out of range, or the vendor does not take it.
        Unreachable: the system does not answer.
    """
    (before,) = read_faults(settings, name)
    values = {switch.name: switch.value for switch in before.switches}
    after = asyncio.run(_change(settings.systems[name], changes))
    return [Change(switch, values[switch], after[switch]) for switch in changes]


def clear_faults(settings: Settings, name: str | None = None) -> Sequence[Cleared]:
    """Switch all faults off, of one system or of all simulated ones. Raises as `read_faults`."""
    found = [each for each in read_faults(settings, name) if each.played is Played.SIMULATED]
    asyncio.run(_clear([settings.systems[each.name] for each in found]))
    return [Cleared(each.name, each.on) for each in found]


def _chosen(settings: Settings, name: str | None) -> Mapping[str, SystemSettings]:
    if not settings.systems:
        raise UsageProblem(f"no system is set and no local landscape with systems is up here: {START}, or set FABRIC_SYSTEMS__NAME__URL")
    if name is None:
        return settings.systems
    if name not in settings.systems:
        raise UsageProblem(f"there is no system {name}; there are {', '.join(settings.systems)}")
    return {name: settings.systems[name]}


def _check_simulated(found: SystemFaults) -> None:
    match found.played:
        case Played.REAL:
            raise UsageProblem(f"{found.name} is a real system: it has no switches")
        case Played.SILENT:
            raise Unreachable(f"{found.name} at {found.url} does not answer; {START}")
        case Played.SIMULATED:
            return


async def _look_at(systems: Mapping[str, SystemSettings]) -> Sequence[SystemFaults]:
    return await asyncio.gather(*(_look(name, system) for name, system in systems.items()))


async def _look(name: str, system: SystemSettings) -> SystemFaults:
    played, switches = Played.REAL, list[Switch]()
    try:
        async with SimulatorControl(control_url(system)) as control:
            if system.vendor in await control.vendors():
                played, switches = Played.SIMULATED, await control.switches(system.vendor)
    except httpx.HTTPError:
        played = Played.SILENT
    except (ControlError, ValueError, TypeError):
        played = Played.REAL  # something answers, in another way
    return SystemFaults(name, system.vendor, system.url, played, switches)


async def _change(system: SystemSettings, changes: Mapping[str, str]) -> Mapping[str, Any]:
    async with _control(system) as control:
        return await control.change(system.vendor, changes)


async def _clear(systems: Sequence[SystemSettings]) -> None:
    for system in systems:
        async with _control(system) as control:
            await control.clear_faults(system.vendor)


@asynccontextmanager
async def _control(system: SystemSettings) -> AsyncIterator[SimulatorControl]:
    try:
        async with SimulatorControl(control_url(system)) as control:
            yield control
    except ControlError as error:
        raise UsageProblem(error.reason) from None
    except httpx.HTTPError as error:
        raise Unreachable(f"{system.vendor} at {system.url} does not answer: {error}; {START}") from None
