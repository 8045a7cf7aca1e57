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
from integration_fabric.messages.fabric import ProcessState
from integration_fabric.operations.conservation import Balance
from integration_fabric.process_engine.ports import InstanceRow
from integration_fabric.process_engine.state import OVER, StepStatus
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
    StepStatus.WAITING: Text("◌", "cyan"),
    StepStatus.HELD: Text("■ held", "bold yellow"),
    StepStatus.SKIPPED: Text("–", "dim"),  # noqa: RUF001  a dash in a table
    StepStatus.REFUSED: Text("✗", "red"),
    StepStatus.UNDOING: Text("◐", "magenta"),
    StepStatus.UNDONE: Text("○", "magenta"),
    StepStatus.UNDO_HELD: Text("■", "bold red"),
}
REFRESH_PER_S = 4
SHOWN_OPEN = 12
"""Of the quotes that are not through: a screen has 24 lines at least."""
SETTLE_TRIES = 40
SETTLE_PAUSE_S = 0.25


def run_demo(*, quotes: int, simulated: bool, keep: bool, fresh: bool, store: Store) -> int:
    """Run the demo. Returns the exit code: 0 if every count is right and every sum even. Raises UsageProblem."""
    out = Console(highlight=False)
    began = time.monotonic()
    local_systems.check_disposable(fresh=fresh)
    local_systems.stop_workers(tell)
    local_systems.up(Landscape.SIMULATORS if simulated else Landscape.REAL, tell, fresh=True, purpose="demo", store=store)
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
                await story.webhooks_doubled_and_lost()
                await story.invoices_and_payments()
                await story.payment_failure()
            finally:
                showing.cancel()
            return await story.count()


async def _keep_showing(story: Story, live: Live) -> None:
    while True:
        live.update(_progress(story))
        await asyncio.sleep(1 / REFRESH_PER_S)


def _progress(story: Story) -> Group:
    """How many quotes are through each step, and the ones that are not through, as far as there is room."""
    shown = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("quote", *STEPS, "state"):
        shown.add_column(column)
    through = [sum(_is_over(row, step) for row in story.rows.values()) for step in STEPS]
    completed = sum(row.instance.state is ProcessState.COMPLETED for row in story.rows.values())
    shown.add_row(f"all {len(story.approved)}", *(str(count) for count in through), f"{completed} completed")
    open_ = [quote_id for quote_id in story.approved if not _is_completed(story.rows.get(quote_id))]
    for quote_id in open_[:SHOWN_OPEN]:
        row = story.rows.get(quote_id)
        shown.add_row(quote_id, *(_mark(row, step) for step in STEPS), Text(row.instance.state.value if row else "approved"))
    return Group(Text(), shown)


def _is_over(row: InstanceRow, step: str) -> bool:
    return row.instance.status(step) in OVER


def _is_completed(row: InstanceRow | None) -> bool:
    return row is not None and row.instance.state is ProcessState.COMPLETED


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
    out.print(_records(counted))
    out.print()
    out.print(_books(counted))
    wrong = [item for item in counted if not item.right]
    out.print()
    out.print(
        _told(wrong or [item for item in counted if item.remark], "Something is off with" if wrong else "What had something happen to it")
    )
    uneven = [balance for balance in balances if not balance.balanced or balance.in_flight]
    messages = sum(balance.accepted for balance in balances)
    even = f"{messages} messages taken by {len({b.subscriber for b in balances})} subscribers, each in exactly one outcome"
    out.print(f"\nfabric balance: [green]{even}[/]" if not uneven else f"\nfabric balance: [bold red]{len(uneven)} sums are off[/]")
    right = not wrong and not uneven
    verdict = "[bold green]all right[/]" if right else "[bold red]something is off[/]"
    out.print(f"{verdict}: {len(counted) - len(wrong)} of {len(counted)} quotes, in {took_s:.0f} s\n")
    _point_on(out, counted, keep=keep)
    return right


def _records(counted: Sequence[Counted]) -> Table:
    """What each system should hold, and what it does."""
    rows = [
        (kind, expected := sum(getattr(item.expected, kind) for item in counted), _count(_sum_of(counted, kind), expected))
        for kind in ("orders", "subscriptions", "entitlements", "onboardings")
    ]
    billed = sum(len(item.money.billed) for item in counted)
    posted = sum(len(records) for item in counted for records in item.money.posted.values())
    rows += [("invoices in billing", sum(item.invoices for item in counted), _count(billed, sum(item.invoices for item in counted)))]
    rows += [("invoices in the ERP", billed, _count(posted, billed))]
    title = f"What the systems hold of {len(counted)} quotes, counted by asking them"
    return table(title, ("records", "expected", "found"), rows, right=("expected", "found"))


def _sum_of(counted: Sequence[Counted], kind: str) -> int:
    return sum(getattr(item.found, kind) for item in counted)


def _books(counted: Sequence[Counted]) -> Table:
    """The money by currency, in billing and in the ERP."""
    invoices = [(invoice, item.money.posted[invoice.invoice_id]) for item in counted for invoice in item.money.billed]
    rows = []
    for currency in sorted({invoice.currency for invoice, _ in invoices}):
        mine = [(invoice, posted) for invoice, posted in invoices if invoice.currency == currency]
        billed = sum(invoice.total for invoice, _ in mine)
        booked = sum(record.total for _, posted in mine for record in posted)
        tax = sum(record.tax for _, posted in mine for record in posted)
        unpaid = sum(record.open for _, posted in mine for record in posted)
        mark = Text("✓", "green") if billed == booked else Text("✗", "bold red")
        rows.append((currency, len(mine), f"{billed:,.2f}", f"{booked:,.2f}", f"{tax:,.2f}", f"{unpaid:,.2f}", mark))
    columns = ("currency", "invoices", "billed", "in the books", "of it tax", "unpaid", "")
    return table("The money, to the cent", columns, rows, right=columns[1:-1])


def _told(items: Sequence[Counted], title: str) -> Table:
    rows = [
        (item.quote.quote_id, item.quote.customer_id, len(item.quote.lines), item.state, item.remark, "; ".join(_faults_of(item)) or "✓")
        for item in items
    ]
    return table(title, ("quote", "customer", "lines", "process", "what happened", ""), rows, right=("lines",))


def _faults_of(item: Counted) -> Sequence[str]:
    kinds = ("orders", "subscriptions", "entitlements", "onboardings")
    pairs = [(kind, getattr(item.found, kind), getattr(item.expected, kind)) for kind in kinds]
    pairs.append(("invoices", len(item.money.billed), item.invoices))
    return [*(f"{kind}: {found} (not {expected})" for kind, found, expected in pairs if found != expected), *item.money.differences]


def _count(found: int, expected: int) -> Text:
    return Text(str(found), "green") if found == expected else Text(f"{found} (not {expected})", "bold red")


def _point_on(out: Console, counted: Sequence[Counted], *, keep: bool) -> None:
    held = counted[2].quote.quote_id
    if keep:
        out.print("Everything is still running. Look around:")
    else:
        out.print("Everything is stopped; its data is kept. `fabric up --systems real` starts it again (or `fabric demo --keep`). Then:")
    out.print(f"  fabric journey {held}     the timeline of the quote that was held")
    out.print("  fabric process list       every process and where it stands")
    out.print("  fabric balance            the sum of each topic at each subscriber")
    out.print("  fabric status             workers, subscribers, how far they are behind")
    if keep:
        out.print("  fabric down               stops everything")
