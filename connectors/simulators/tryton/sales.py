"""The life of a sale in the ERP simulator: its buttons, and the processing that follows a confirmation by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from connectors.simulators.clock import now
from connectors.simulators.exchange import JsonObject
from connectors.simulators.store import Record, Store
from connectors.simulators.tryton.errors import forbidden, refused
from connectors.simulators.tryton.reader import Reader
from connectors.simulators.tryton.writer import Writer

SALE = "sale.sale"
# Tryton queues the processing at the commit of the confirmation and runs it in a thread; this is what that takes there.
PROCESSING_AFTER = timedelta(milliseconds=100)


@dataclass(frozen=True, slots=True)
class _Button:
    allowed_in: frozenset[str]
    leads_to: str


_BUTTONS: Mapping[str, _Button] = {
    "draft": _Button(frozenset({"cancelled", "quotation", "confirmed"}), "draft"),
    "quote": _Button(frozenset({"draft"}), "quotation"),
    "confirm": _Button(frozenset({"quotation"}), "confirmed"),
    "cancel": _Button(frozenset({"draft", "quotation"}), "cancelled"),
    "process": _Button(frozenset({"confirmed", "processing", "done"}), "processing"),
}
_DELETABLE = frozenset({"draft", "cancelled"})


def press(reader: Reader, record: Record, button: str, _context: Mapping[str, object]) -> JsonObject:
    """Press a button on a sale.

    Returns:
        Its new body.

    Raises:
        RefusedError: there is no such button, or it cannot be pressed in this state.
    """
    if button not in _BUTTONS:
        raise forbidden()
    sale, store = record.body, reader.store
    if sale["state"] not in _BUTTONS[button].allowed_in or (button == "quote" and not reader.lines(sale)):
        raise refused(f'You can not call "{button}" on "{reader.name(SALE, sale)}" of "Sale".')
    changes: JsonObject = {"state": _BUTTONS[button].leads_to}
    if button == "quote":
        changes |= _quoted(store, reader, sale)
    elif button == "confirm" and not sale["sale_date"]:
        changes["sale_date"] = now().date().isoformat()
    elif button == "process" and _is_complete(sale):
        changes["state"] = "done"
    return Writer(store, {}).replace(record, changes)


def delete(reader: Reader, record: Record) -> None:
    """Delete a sale with its lines; raises RefusedError where it must be cancelled first."""
    sale = record.body
    if sale["state"] not in _DELETABLE:
        raise refused(f'To delete sale "{reader.name(SALE, sale)}" you must cancel it.')
    for line in reader.find("sale.line", [["sale", "=", sale["id"]]]):
        reader.store.delete(line)
    reader.store.delete(record)


def process_confirmed(store: Store) -> None:
    """Let every sale that was confirmed a moment ago go on; called before anybody looks, so no background task is needed."""
    before = (now() - PROCESSING_AFTER).replace(tzinfo=None).isoformat(timespec="microseconds")
    where = "json_extract(body, '$.state') = 'confirmed' AND json_extract(body, '$.write_date') <= ?"
    for record in store.find(SALE, where, (before,)):
        press(Reader(store), record, "process", {})


def _quoted(store: Store, reader: Reader, sale: JsonObject) -> JsonObject:
    if not sale.get("invoice_address"):
        raise refused(f'To get a quote for sale "{reader.name(SALE, sale)}" you must enter an invoice address.')
    return {
        "number": sale["number"] or _next_number(store, reader, sale),
        "quotation_date": sale["quotation_date"] or now().date().isoformat(),
    }


def _next_number(store: Store, reader: Reader, sale: JsonObject) -> str:
    """Each company has a sequence of its own, as a Tryton is configured where there are several."""
    party = reader.one("party.party", reader.one("company.company", sale["company"])["party"])
    return f"{party['code']}-{store.next_number('sale.number:' + party['code']):06d}"


def _is_complete(sale: JsonObject) -> bool:
    """Invoices and shipments are not played here: their states are written by whoever stands for them, and completion follows."""
    return sale["state"] == "processing" and sale["invoice_state"] == "paid" and sale["shipment_state"] in ("sent", "none")
