"""What every vendor's connector is tried on: a simulator, a real system that is started here, or both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pytest
from role_bench import PLUGS
from role_jobs import JOBS
from role_table import Column

SIMULATED, REAL = "simulated", "real"


@dataclass(frozen=True)
class Sites:
    """What a vendor's connector is tried on."""

    simulated: bool = True
    real: str | None = None
    """The fixture of a real one."""
    marks: tuple[pytest.MarkDecorator, ...] = ()
    """Of the cases on the real one."""


SITES: Mapping[str, Sites] = {
    "tryton": Sites(real="real_tryton", marks=(pytest.mark.tryton,)),
    "localstripe": Sites(simulated=False, real="real_localstripe"),
    "helpdesk": Sites(simulated=False, real="real_helpdesk", marks=(pytest.mark.helpdesk,)),
}
"""Those of the vendors that are not merely simulated."""


def sites_of(vendor: str) -> Sites:
    return SITES.get(vendor, Sites())


def columns() -> list[Column]:
    """What every action is tried on."""
    found: dict[Column, None] = {}
    for role, vendor in sorted({(PLUGS[job.vendor].connector.role.name, job.vendor) for job in JOBS}):
        if sites_of(vendor).simulated:
            found[role, vendor, SIMULATED] = None
        if sites_of(vendor).real:
            found[role, vendor, REAL] = None
    return list(found)
