"""`fabric demo`: starts everything, tells the story on the terminal, counts, and ends with a code that says whether all is right."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from integration_fabric.apps.demo.story import Counted, Story, StoryStuck
from integration_fabric.apps.terminal import table, tell
from integration_fabric.operations.conservation import Balance
from integration_fabric.process_engine.ports import InstanceRow
from integration_fabric.process_engine.state import StepStatus
from integration_fabric.wiring import local_systems
from integration_fabric.wiring.contracts import apply_topics, push_schemas
from integration_fabric.wiring.drivers import open_drivers
from integration_fabric.wiring.local_store import Store
from integration_fabric.wiring.local_vendors import Landscape
from integration_fabric.wiring.operations import open_instances, read_balances
from integration_fabric.wiring.settings import Settings, load

STEPS = ("validate", "book order", "start subscription", "activate order", "publish", "entitlements", "onboarding")
MARKS = {
    StepStatus.DONE: Text("●", "green"),
    StepStatus.SENT: Text("◐", "cyan"),
    StepStatus.HELD: Text("■ held", "bold yellow"),
    StepStatus.SKIPPED: Text("–", "dim"),  # noqa: RUF001  a dash in a table
    StepStatus.REFUSED: Text("✗", "red"),
    StepStatus.UNDOING: Text("◐", "magenta"),
    StepStatus.UNDONE: Text("○", "magenta"),
    StepStatus.UNDO_HELD: Text("■", "bold red"),
}
REFRESH_PER_S = 4
SETTLE_TRIES = 40
SETTLE_PAUSE_S = 0.25


def run_demo(*, quotes: int, simulated: bool, keep: bool, fresh: bool, store: Store) -> int:
    """Run the demo. Returns the exit code: 0 if every count is right and every sum even. Raises UsageProblem."""
    out = Console(highlight=False)
    began = time.monotonic()
    local_systems.check_disposable(fresh=fresh)
    local_systems.stop_workers(tell)
    local_systems.up(Landscape.SIMULATORS if simulated else Landscape.TRYTON, tell, fresh=True, purpose="demo", store=store)
    settings = load()
    apply_topics(settings)
    push_schemas(settings)
    try:
        local_systems.start_workers(tell)
        out.print(f"[green]everything runs[/] after {time.monotonic() - began:.0f} s\n")
        counted = asyncio.run(_tell(settings, quotes, out))
        balances = _settled_balances(settings)
    except StoryStuck as error:
        out.print(f"[bold red]the story is stuck:[/] {error}")
        out.print("[dim]`fabric status`, `fabric dlq list` and .fabric/logs say more; everything is left running[/]")
        return 1
    right = _conclude(out, counted, balances, took_s=time.monotonic() - began, keep=keep)
    if not keep:
        local_systems.down(lambda _: None)
    return 0 if right else 1


async def _tell(settings: Settings, count: int, out: Console) -> Sequence[Counted]:
    async with AsyncExitStack() as stack:
        drivers = await stack.enter_async_context(open_drivers(settings))
        instances = await open_instances(settings, stack)
        with Live(console=out, refresh_per_second=REFRESH_PER_S, transient=True) as live:

            def say(line: str) -> None:
                live.console.print(f"[bold cyan]›[/] {line}")  # noqa: RUF001  a mark

            story = Story.of(count, drivers=drivers, instances=instances, say=say)
            showing = asyncio.create_task(_keep_showing(story, live))
            try:
                await story.load()
                await story.missing_tax_code()
                await story.customer_success_offline()
            finally:
                showing.cancel()
            return await story.count()


async def _keep_showing(story: Story, live: Live) -> None:
    while True:
        live.update(_progress(story))
        await asyncio.sleep(1 / REFRESH_PER_S)


def _progress(story: Story) -> Group:
    shown = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("quote", *STEPS, "state"):
        shown.add_column(column)
    for quote_id in story.approved:
        row = story.rows.get(quote_id)
        shown.add_row(quote_id, *(_mark(row, step) for step in STEPS), Text(row.instance.state.value if row else "approved"))
    return Group(Text(), shown)


def _mark(row: InstanceRow | None, step: str) -> Text:
    status = row.instance.status(step) if row else None
    return MARKS[status] if status else Text("·", "dim")


def _settled_balances(settings: Settings) -> Sequence[Balance]:
    """The sums once nothing is in flight any more: the last answers are still being committed when the counts are right."""
    balances = read_balances(settings)
    for _ in range(SETTLE_TRIES):
        if not any(balance.in_flight for balance in balances):
            break
        asyncio.run(asyncio.sleep(SETTLE_PAUSE_S))
        balances = read_balances(settings)
    return balances


def _conclude(out: Console, counted: Sequence[Counted], balances: Sequence[Balance], *, took_s: float, keep: bool) -> bool:
    rows = [
        (
            item.quote.quote_id,
            item.quote.customer_id,
            item.quote.legal_entity,
            len(item.quote.lines),
            item.state,
            *(
                _count(getattr(item.found, kind), getattr(item.expected, kind))
                for kind in ("orders", "subscriptions", "entitlements", "onboardings")
            ),
            Text("✓", "green") if item.right else Text("✗", "bold red"),
        )
        for item in counted
    ]
    columns = ("quote", "customer", "books", "lines", "process", "order", "subscr.", "entitl.", "onboard.", "")
    numbers = ("lines", "order", "subscr.", "entitl.", "onboard.")
    out.print(table("What the systems hold, counted by asking them", columns, rows, right=numbers))
    uneven = [balance for balance in balances if not balance.balanced or balance.in_flight]
    messages = sum(balance.accepted for balance in balances)
    even = f"{messages} messages taken by {len({b.subscriber for b in balances})} subscribers, each in exactly one outcome"
    out.print(f"\nfabric balance: [green]{even}[/]" if not uneven else f"\nfabric balance: [bold red]{len(uneven)} sums are off[/]")
    right = all(item.right for item in counted) and not uneven
    verdict = "[bold green]all right[/]" if right else "[bold red]something is off[/]"
    out.print(f"{verdict}: {sum(item.right for item in counted)} of {len(counted)} quotes, in {took_s:.0f} s\n")
    _point_on(out, counted, keep=keep)
    return right


def _count(found: int, expected: int) -> Text:
    return Text(str(found), "green") if found == expected else Text(f"{found} (not {expected})", "bold red")


def _point_on(out: Console, counted: Sequence[Counted], *, keep: bool) -> None:
    held = counted[2].quote.quote_id
    if keep:
        out.print("Everything is still running. Look around:")
    else:
        out.print("Everything is stopped; its data is kept. `fabric up --systems tryton` starts it again (or `fabric demo --keep`). Then:")
    out.print(f"  fabric journey {held}     the timeline of the quote that was held")
    out.print("  fabric process list       every process and where it stands")
    out.print("  fabric balance            the sum of each topic at each subscriber")
    out.print("  fabric status             workers, subscribers, how far they are behind")
    if keep:
        out.print("  fabric down               stops everything")
