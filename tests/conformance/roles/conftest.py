"""The systems that the role suites run on: simulators in a process of their own, and real systems."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

import httpx
import pytest
from role_bench import PLUGS, Bench, Desk, Site
from role_books import CLOSING
from role_jobs import JOBS, NO, Job
from role_sites import REAL, SIMULATED, columns, sites_of
from role_table import EVERY_ACTION, Outcomes, in_words, put, written

from connectors.simulators.control import SimulatorControl
from integration_fabric.backends.avro.codec import AvroCodec
from integration_fabric.local import helpdesk, localstripe, ports, processes, tryton
from integration_fabric.local.settings import LocalSettings

ROOT = Path(__file__).parents[3]
WITHIN = timedelta(seconds=30)
SENDS_WEBHOOKS = frozenset({"salesforce", "stripe"})
# The table of the suites


OUTCOMES = pytest.StashKey[Outcomes]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[OUTCOMES] = Outcomes()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report: Any = yield
    if isinstance(item, pytest.Function) and item.path == EVERY_ACTION and (report.when == "call" or report.failed):
        job, where = item.callspec.params["job"]
        column = (PLUGS[job.vendor].connector.role.name, job.vendor, where)
        item.config.stash[OUTCOMES].note(in_words(item.originalname), column, passed=report.passed)
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    if session.config.getoption("--role-table"):
        put(written(session.config.stash[OUTCOMES], columns()))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`job`: every command on every site of its vendor, unless `faults` are to be switched. `erp`: Tryton's connector on its sites."""
    if "job" in metafunc.fixturenames:
        simulated = [pytest.param((job, SIMULATED), id=f"{job.vendor}-{job.name}") for job in JOBS if sites_of(job.vendor).simulated]
        real = [
            pytest.param((job, REAL), id=f"real-{job.vendor}-{job.name}", marks=sites_of(job.vendor).marks)
            for job in JOBS
            if sites_of(job.vendor).real
        ]
        switched = "faults" in metafunc.fixturenames
        metafunc.parametrize("job", simulated if switched else [*simulated, *real], indirect=True)
    if "invoicing" in metafunc.fixturenames:
        metafunc.parametrize("invoicing", ["stripe", "localstripe"], indirect=True)
    if "erp" in metafunc.fixturenames:
        metafunc.parametrize("erp", [SIMULATED, pytest.param(REAL, marks=sites_of("tryton").marks)], indirect=True)


# Systems


@pytest.fixture(scope="session")
def simulators(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of all simulators, in one process."""
    state, port = tmp_path_factory.mktemp("simulators"), ports.choose()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "connectors.simulators", "--port", str(port), "--state", str(state / "databases")]
    process = processes.start("simulators", command, state_dir=state, cwd=ROOT)
    try:
        processes.await_ready(
            process, lambda: _answers(f"{url}/_control/health"), within=WITHIN, log=processes.log_path(state, "simulators")
        )
        yield url
    finally:
        processes.stop(process, within=WITHIN)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=1, trust_env=False).is_success
    except httpx.HTTPError:
        return False


@pytest.fixture(scope="session")
def real_tryton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A Tryton of these suites alone, from the snapshot."""
    settings = LocalSettings(state_dir=tmp_path_factory.mktemp("tryton"))
    address = tryton.up(settings, print)
    try:
        file = tryton.database_file(settings)
        yield Site(address.url, address.key, database=address.database, category=address.category, database_file=file)
    finally:
        tryton.down(settings)


@pytest.fixture(scope="session")
def real_helpdesk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A django-helpdesk of these suites alone, from the snapshot."""
    settings = LocalSettings(state_dir=tmp_path_factory.mktemp("helpdesk"))
    address = helpdesk.up(settings, print)
    try:
        yield Site(address.url, address.key, database_file=helpdesk.database_file(settings))
    finally:
        helpdesk.down(settings)


@pytest.fixture(scope="session")
def real_localstripe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A localstripe of these suites alone."""
    settings = LocalSettings(state_dir=tmp_path_factory.mktemp("localstripe"))
    address = localstripe.up(settings, print)
    try:
        yield Site(address.url, address.key)
    finally:
        localstripe.down(settings)


@pytest.fixture
async def control(simulators: str) -> AsyncIterator[SimulatorControl]:
    async with SimulatorControl(simulators) as control:
        yield control


@pytest.fixture
async def faults(control: SimulatorControl) -> AsyncIterator[SimulatorControl]:
    """For tests that switch faults on: they are off afterwards, whatever happens."""
    yield control
    for vendor in ("salesforce", *(vendor for vendor in PLUGS if sites_of(vendor).simulated)):
        await control.clear_faults(vendor)
        if vendor in SENDS_WEBHOOKS:
            await control.set_faults(vendor, webhook_url=None)


# Connectors on systems


@pytest.fixture(scope="session")
def kept() -> Callable[[str], dict[str, Any]]:
    """What was made on a site and may be used again."""
    found: dict[str, dict[str, Any]] = {}
    return lambda site: found.setdefault(site, {})


class MakeBench(Protocol):
    """Plugs a vendor's connector into its simulator, or into the real system."""

    async def __call__(self, vendor: str, where: str = SIMULATED) -> Bench: ...


@pytest.fixture
async def make_bench(request: pytest.FixtureRequest, control: SimulatorControl, simulators: str, kept: Any) -> AsyncIterator[MakeBench]:
    codec: AvroCodec = request.getfixturevalue("codec")
    async with AsyncExitStack() as stack:

        async def make(vendor: str, where: str = SIMULATED) -> Bench:
            prefix = "erp" if vendor == "tryton" else vendor
            site = Site(f"{simulators}/{prefix}", f"{vendor}-token", vendor)
            if where == REAL:
                site = request.getfixturevalue(sites_of(vendor).real or "")
            client = await stack.enter_async_context(PLUGS[vendor].open(site, timedelta(seconds=15)))
            return Bench(vendor, site, client, control, codec, kept(site.url))

        yield make


@pytest.fixture
def job(request: pytest.FixtureRequest) -> Job:
    found: Job = request.param[0]
    return found


@pytest.fixture
async def bench(request: pytest.FixtureRequest, make_bench: MakeBench, job: Job) -> Bench:
    """The connector of the job, on the system that the job is tried on."""
    where = request.node.callspec.params["job"][1]
    return await make_bench(job.vendor, where)


@pytest.fixture
async def invoicing(request: pytest.FixtureRequest, make_bench: MakeBench) -> Bench:
    """Billing that issues invoices: Stripe's connector on a simulator, and localstripe's on a real one."""
    vendor: str = request.param
    return await make_bench(vendor, REAL if not sites_of(vendor).simulated else SIMULATED)


@pytest.fixture
async def erp(request: pytest.FixtureRequest, make_bench: MakeBench) -> Bench:
    """Tryton's connector, on a simulator and on a real one."""
    return await make_bench("tryton", request.param)


@pytest.fixture
async def simulated_erp(make_bench: MakeBench) -> Bench:
    """Tryton's connector on a simulator, which lists the calls that reached it, and keeps no reference unique."""
    return await make_bench("tryton")


@pytest.fixture
async def real_erp(make_bench: MakeBench) -> Bench:
    """Tryton's connector on a real Tryton."""
    return await make_bench("tryton", REAL)


@pytest.fixture
def desk(codec: AvroCodec) -> Desk:
    return Desk(codec)


@pytest.fixture
async def closed(erp: Bench) -> AsyncIterator[str]:
    """The canonical id of a period that is closed, and is open again afterwards."""
    period = await erp.client.close_period(NO, CLOSING)
    yield f"NO/{period.name}"
    await erp.client.open_period(NO, CLOSING)
