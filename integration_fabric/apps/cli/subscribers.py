"""`fabric subscribers`: steering what runs. Orders stand in the store, so they hold for every worker and survive restarts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.console import Console

from integration_fabric.apps.terminal import By, Json, Reason, answer, key_text, rfc3339, table, tell
from integration_fabric.runtime.records import TopicPartition
from integration_fabric.runtime.steering import Order, OrderKind
from integration_fabric.wiring.operations import give_order, lift_orders, read_orders
from integration_fabric.wiring.settings import load

app = typer.Typer(help="Steering subscribers while they run.", no_args_is_help=True)

Subscriber = Annotated[str, typer.Argument(metavar="SUBSCRIBER", help="Its name, e.g. tryton.create-order; `fabric status` has them.")]
Partition = Annotated[str | None, typer.Option("--partition", metavar="TOPIC/NUMBER", help="Only this partition.", show_default=False)]
Key = Annotated[str | None, typer.Option("--key", help="Only messages with this key, e.g. SO-9; all others go on.", show_default=False)]


@app.command("list")
def list_(*, as_json: Json = False) -> None:
    """List the orders that stand: what is paused, drained or passed over, by whom and why."""
    found = read_orders(load())
    answer([_document(order) for order in found], as_json=as_json, show=lambda out: _show(out, found))


def _document(order: Order) -> dict[str, Any]:
    return {
        "subscriber": order.subscriber,
        "order": order.kind.value,
        "topic": order.partition.topic if order.partition else None,
        "partition": order.partition.partition if order.partition else None,
        "key": key_text(order.key),
        "until": order.until,
        "by": order.by,
        "why": order.why,
        "given_at": rfc3339(order.given_at),
    }


def _show(out: Console, found: Sequence[Order]) -> None:
    rows = [(order.subscriber, order.kind.value, order.what, order.why, order.by, order.given_at) for order in found]
    out.print(
        table(None, ("subscriber", "order", "of", "why", "by", "since"), rows) if rows else "Nothing is paused, drained or passed over."
    )


@app.command("pause")
def pause(subscriber: Subscriber, *, reason: Reason, by: By, partition: Partition = None, key: Key = None) -> None:
    """Start nothing more of a subscriber, or of a partition or a key of it, within a second; what runs is finished."""
    if partition is not None and key is not None:
        raise typer.BadParameter("a partition or a key, not both", param_hint="--key")
    place, name = _partition(partition), key.encode() if key is not None else None
    _give(Order(subscriber, OrderKind.PAUSE, by, reason, place, name))


@app.command("drain")
def drain(subscriber: Subscriber, *, reason: Reason, by: By) -> None:
    """Take nothing more, and finish what was taken; `fabric status` shows when nothing is left."""
    _give(Order(subscriber, OrderKind.DRAIN, by, reason))


@app.command("resume")
def resume(subscriber: Subscriber, *, partition: Partition = None, key: Key = None) -> None:
    """Take back a pause or a drain: of the whole subscriber, or of the partition or key that was paused."""
    count = lift_orders(load(), subscriber, partition=_partition(partition), key=key.encode() if key is not None else None)
    if not count:
        raise typer.BadParameter(f"no such pause of {subscriber}; `fabric subscribers list` shows what stands", param_hint="SUBSCRIBER")
    tell(f"{subscriber} goes on")


@app.command("skip")
def skip(
    subscriber: Subscriber,
    *,
    partition: Annotated[str, typer.Option("--partition", metavar="TOPIC/NUMBER", help="Of which partition.")],
    to: Annotated[int, typer.Option("--to", min=1, help="The first offset that is handled again.")],
    reason: Reason,
    by: By,
) -> None:
    """Discard what stands below an offset of a partition and has not begun: each message is counted as discarded, by whom and why."""
    _give(Order(subscriber, OrderKind.SKIP, by, reason, _partition(partition), until=to))


def _give(order: Order) -> None:
    give_order(load(), order)
    tell(f"{order.subscriber}: {order.kind.value} of {order.what}; workers do so within a second")


def _partition(text: str | None) -> TopicPartition | None:
    if text is None:
        return None
    topic, _, number = text.rpartition("/")
    if not topic or not (number.isascii() and number.isdigit() and len(number) < 10):  # noqa: PLR2004  32 bits
        raise typer.BadParameter(f"{text!r} is no partition; write it as cpq.quote-approved.v1/3", param_hint="--partition")
    return TopicPartition(topic, int(number))
