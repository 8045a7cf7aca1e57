"""The life of a customer invoice in the ERP simulator: its buttons, its entries in the books, and what reconciles it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from decimal import Decimal

from connectors.simulators.clock import now
from connectors.simulators.exchange import JsonObject
from connectors.simulators.store import Record
from connectors.simulators.tryton.book_values import INVOICE, LINE, TAX, line_amount, parts, reconciled_on, taxed, to_pay, untaxed
from connectors.simulators.tryton.errors import forbidden, refused
from connectors.simulators.tryton.periods import check_journal, open_period
from connectors.simulators.tryton.reader import Reader
from connectors.simulators.tryton.writer import Writer

_DELETABLE = frozenset({"draft", "cancelled"})


def press(reader: Reader, record: Record, button: str, context: Mapping[str, object]) -> JsonObject:
    """Press a button on an invoice.

    Returns:
        Its new body.

    Raises:
        RefusedError: there is no such button, it cannot be pressed in this state, or Tryton asks and was not told to go on.
    """
    if button not in _BUTTONS:
        raise forbidden()
    allowed_in, do = _BUTTONS[button]
    if record.body["state"] not in allowed_in:
        raise refused(f'You can not call "{button}" on "{reader.name(INVOICE, record.body)}" of "Account Invoice".')
    return do(reader, record, bool(context.get("_skip_warnings")))


def delete(reader: Reader, record: Record) -> None:
    """Delete a draft with its lines; raises RefusedError where it is more than that."""
    name = reader.name(INVOICE, record.body)
    if record.body["state"] not in _DELETABLE:
        raise refused(f'You cannot modify invoice "{name}" because it is posted, paid or cancelled.')
    if record.body["number"]:
        raise refused(f'You cannot delete the numbered invoice "{name}".')
    for model in (LINE, TAX):
        for part in reader.store.find(model, "json_extract(body, '$.invoice') = ?", (record.body["id"],)):
            reader.store.delete(part)
    reader.store.delete(record)


def reconcile(reader: Reader, lines: Sequence[Record], on: date) -> None:
    """Reconcile lines of the books with one another; they add up to nothing. Dunnings for them are out of sight from now on."""
    writer, number = Writer(reader.store, {}), reader.store.next_number("reconciliation")
    for line in lines:
        writer.replace(line, {"reconciliation": number, "reconciled_on": on.isoformat()})
        for dunning in reader.store.find("account.dunning", "json_extract(body, '$.line') = ?", (line.body["id"],)):
            # Nothing is written to it in Tryton: whether it is active is looked up in the line.
            reader.store.replace(dunning, {**dunning.body, "active": False})


def settle(reader: Reader, invoice_id: int) -> None:
    """Mark an invoice as paid whose lines are reconciled: Tryton does it before it answers."""
    record = reader.store.get(INVOICE, str(invoice_id))
    if record is not None and record.body["state"] == "posted" and reconciled_on(reader, record.body):
        Writer(reader.store, {}).replace(record, {"state": "paid"})


def add_move(reader: Reader, period: JsonObject, *, company: int, journal: int, on: date, origin: str, lines: Sequence[JsonObject]) -> int:
    """Draft entries in the books."""
    check_journal(reader, period, journal)
    writer = Writer(reader.store, {})
    move = {"company": company, "journal": journal, "date": on.isoformat(), "period": period["id"], "origin": origin}
    move_id: int = writer.put("account.move", move)["id"]
    for line in lines:
        writer.put("account.move.line", {**line, "move": move_id})
    return move_id


def post_move(reader: Reader, move_id: int) -> None:
    """Post entries, and number them within their company and year."""
    record = reader.store.get("account.move", str(move_id))
    assert record is not None
    year = reader.one("account.period", record.body["period"])["fiscalyear"]
    Writer(reader.store, {}).replace(record, {"state": "posted", "number": str(reader.store.next_number(f"account.move:{year}"))})


def _post(reader: Reader, record: Record, unasked: bool) -> JsonObject:
    invoice, today = record.body, now().date()
    issued_on = date.fromisoformat(invoice["invoice_date"]) if invoice["invoice_date"] else today
    booked_on = date.fromisoformat(invoice["accounting_date"]) if invoice["accounting_date"] else issued_on
    due_on = date.fromisoformat(invoice["payment_term_date"]) if invoice["payment_term_date"] else today
    name = reader.name(INVOICE, invoice)
    if issued_on > today and not unasked:
        raise refused(f'The invoices "{name}" have an invoice date in the future.')
    period = open_period(reader, invoice["company"], booked_on)
    year = reader.store.get("account.fiscalyear", str(period["fiscalyear"]))
    assert year is not None
    _check_sequence(reader, invoice, year.body, issued_on)
    if due_on < today and not unasked:
        raise refused(f'The invoice "{name}" generates a payment date "{due_on:%m/%d/%Y}" in the past.')
    number = str(reader.store.next_number(f"account.invoice:{year.id}"))
    origin, lines = f"{INVOICE},{invoice['id']}", _entries(reader, invoice, due_on)
    move = add_move(reader, period, company=invoice["company"], journal=invoice["journal"], on=booked_on, origin=origin, lines=lines)
    post_move(reader, move)
    reader.store.replace(
        year, {**year.body, "numbered_until": issued_on.isoformat(), "numbered_last": f"{number} [{invoice['reference']}]"}
    )
    changes = {"state": "posted", "number": number, "sequence": int(year.id), "invoice_date": issued_on.isoformat(), "move": move}
    return Writer(reader.store, {}).replace(record, changes)


def _check_sequence(reader: Reader, invoice: JsonObject, year: JsonObject, issued_on: date) -> None:
    """Numbers rise with dates, in each fiscal year, which remembers how far it has come."""
    if year.get("numbered_until", "") > issued_on.isoformat():
        name = reader.name(INVOICE, invoice)
        raise refused(
            f'To number the invoice "{name}", you must set an invoice date after "{issued_on:%m/%d/%Y}" because the sequence'
            f' "{year["name"]}" has already been used for invoice "{year["numbered_last"]}".'
        )


def _entries(reader: Reader, invoice: JsonObject, due_on: date) -> list[JsonObject]:
    """Revenue and taxes, and what the customer owes. There is no conversion: the amounts are in the invoice's currency."""
    owed = untaxed(reader, invoice) + taxed(reader, invoice)
    lines = [
        _entry(line["account"], -line_amount(reader, invoice, line)) for line in parts(reader, LINE, invoice) if line["type"] == "line"
    ]
    taxes = [_entry(tax["account"], -Decimal(tax["amount"])) for tax in parts(reader, TAX, invoice) if Decimal(tax["amount"])]
    receivable = {"party": invoice["party"], "maturity_date": due_on.isoformat(), "description": invoice["description"]}
    return [*lines, *taxes, {**_entry(invoice["account"], owed), **receivable}]


def _entry(account: int, amount: Decimal) -> JsonObject:
    """A debit where the amount is positive, else a credit."""
    return {"account": account, "debit": str(max(amount, Decimal(0))), "credit": str(max(-amount, Decimal(0)))}


def _cancel(reader: Reader, record: Record, _unasked: bool) -> JsonObject:
    return Writer(reader.store, {}).replace(record, {"state": "cancelled"})


def _draft(reader: Reader, record: Record, _unasked: bool) -> JsonObject:
    return Writer(reader.store, {}).replace(record, {"state": "draft"})


def _process(reader: Reader, record: Record, _unasked: bool) -> JsonObject:
    settle(reader, record.body["id"])
    return reader.one(INVOICE, record.body["id"])


_BUTTONS: Mapping[str, tuple[frozenset[str], Callable[[Reader, Record, bool], JsonObject]]] = {
    "post": (frozenset({"draft", "validated"}), _post),
    "cancel": (frozenset({"draft", "validated"}), _cancel),
    "draft": (frozenset({"cancelled", "validated"}), _draft),
    "process": (frozenset({"posted", "paid"}), _process),
}


def owed(reader: Reader, invoice: JsonObject) -> Decimal:
    """What the customer owed when it was posted."""
    return sum((Decimal(line.body["debit"]) - Decimal(line.body["credit"]) for line in to_pay(reader, invoice)), Decimal(0))
