"""The life of a statement in the ERP simulator: its buttons, its entries in the books, and the invoices that they pay."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal

from connectors.simulators.exchange import JsonObject
from connectors.simulators.store import Record
from connectors.simulators.tryton.book_values import INVOICE, balance, left_to_pay, paying, to_pay
from connectors.simulators.tryton.errors import forbidden, refused
from connectors.simulators.tryton.invoices import add_move, owed, post_move, reconcile, settle
from connectors.simulators.tryton.periods import open_period
from connectors.simulators.tryton.reader import Reader
from connectors.simulators.tryton.writer import Writer

STATEMENT, LINE = "account.statement", "account.statement.line"


def press(reader: Reader, record: Record, button: str, context: Mapping[str, object]) -> JsonObject:
    """Press a button on a statement.

    Returns:
        Its new body.

    Raises:
        RefusedError: there is no such button, it cannot be pressed in this state, or Tryton asks and was not told to go on.
    """
    if button not in _BUTTONS:
        raise forbidden()
    allowed_in, do, leads_to = _BUTTONS[button]
    if record.body["state"] not in allowed_in:
        raise refused(f'You can not call "{button}" on "{record.body["name"]}" of "Account Statement".')
    do(reader, record.body, bool(context.get("_skip_warnings")))
    return Writer(reader.store, {}).replace(record, {"state": leads_to})


def delete(reader: Reader, record: Record) -> None:
    """Delete a statement with its lines; raises RefusedError where it must be cancelled first."""
    if record.body["state"] not in {"draft", "cancelled"}:
        raise refused(f'To delete statement "{record.body["name"]}" you must cancel it.')
    for line in _lines(reader, record.body):
        reader.store.delete(line)
    reader.store.delete(record)


def invoice_of(reader: Reader, line: JsonObject) -> JsonObject | None:
    """The invoice that a line is related to."""
    model, _, identity = (line.get("related_to") or "").partition(",")
    record = reader.store.get(INVOICE, identity) if model == INVOICE else None
    return record.body if record else None


def _validate(reader: Reader, statement: JsonObject, unasked: bool) -> None:
    lines = _lines(reader, statement)
    total = sum((Decimal(line.body["amount"]) for line in lines), Decimal(0))
    if total != Decimal(statement["total_amount"] or 0):
        raise refused(f'The total amount of statement "{statement["name"]}" must be "{total}".')
    for line in lines:
        _enter(reader, statement, line, unasked)
    _let_go(reader, statement, unasked)


def _enter(reader: Reader, statement: JsonObject, line: Record, unasked: bool) -> None:
    """The entries of one line; an invoice that is paid already is taken from it."""
    body, invoice = line.body, invoice_of(reader, line.body)
    if invoice is not None and invoice["state"] in {"paid", "cancelled"}:
        if not unasked:
            raise refused("Validating the statements will remove paid or canceled invoices from their lines.")
        body, invoice = {**body, "related_to": None}, None
    amount, pays = Decimal(body["amount"]), None if invoice is None else invoice["id"]
    if invoice is not None and amount > left_to_pay(reader, invoice) and _paid_beyond(reader, invoice, amount):
        name = reader.name(INVOICE, invoice)
        raise refused(f'Payment lines amount on invoice "{name}" can not be greater than the invoice amount.')
    journal = reader.one("account.statement.journal", statement["journal"])
    credit = {"account": body["account"], "party": body["party"], "credit": str(amount), "pays": pays}
    lines, origin = [credit, {"account": journal["account"], "debit": str(amount)}], f"{STATEMENT},{statement['id']}"
    company, on = statement["company"], date.fromisoformat(body["date"])
    period = open_period(reader, company, on)
    move = add_move(reader, period, company=company, journal=journal["journal"], on=on, origin=origin, lines=lines)
    reader.store.replace(line, {**body, "move": move})
    if invoice is not None:
        _reconcile_if_paid(reader, invoice)


def _paid_beyond(reader: Reader, invoice: JsonObject, amount: Decimal) -> bool:
    """Whether a further payment would make the payments more than the invoice."""
    return amount - sum((balance(line.body) for line in paying(reader, invoice)), Decimal(0)) > owed(reader, invoice)


def _reconcile_if_paid(reader: Reader, invoice: JsonObject) -> None:
    lines = [*to_pay(reader, invoice), *paying(reader, invoice)]
    if not sum((balance(line.body) for line in lines), Decimal(0)):
        days = [line.body["maturity_date"] or reader.one("account.move", line.body["move"])["date"] for line in lines]
        reconcile(reader, lines, date.fromisoformat(max(days)))
        settle(reader, invoice["id"])


def _let_go(reader: Reader, statement: JsonObject, unasked: bool) -> None:
    """Take invoices that are paid now from other drafts."""
    for draft in reader.find(STATEMENT, [["state", "=", "draft"], ["id", "!=", statement["id"]]]):
        for line in _lines(reader, draft.body):
            invoice = invoice_of(reader, line.body)
            if invoice is not None and invoice["state"] == "paid":
                if not unasked:
                    raise refused("Validating the statements will remove paid invoices from other draft statements.")
                reader.store.replace(line, {**line.body, "related_to": None})


def _post(reader: Reader, statement: JsonObject, _unasked: bool) -> None:
    for line in _lines(reader, statement):
        if line.body["move"]:
            post_move(reader, line.body["move"])


def _cancel(reader: Reader, statement: JsonObject, _unasked: bool) -> None:
    """The entries go, and with them what they reconciled."""
    for line in _lines(reader, statement):
        move = reader.store.get("account.move", str(line.body["move"]))
        if move is not None:
            _unmake(reader, move)
            reader.store.replace(line, {**line.body, "move": None})


def _unmake(reader: Reader, move: Record) -> None:
    for entry in reader.store.find("account.move.line", "json_extract(body, '$.move') = ?", (move.body["id"],)):
        number = entry.body.get("reconciliation")
        if number is not None:
            for other in reader.find("account.move.line", [["reconciliation", "=", number]]):
                reader.store.replace(other, {**other.body, "reconciliation": None, "reconciled_on": None})
        reader.store.delete(entry)
        if entry.body.get("pays") is not None:
            _reopen(reader, entry.body["pays"])
    reader.store.delete(move)


def _reopen(reader: Reader, invoice_id: int) -> None:
    record = reader.store.get(INVOICE, str(invoice_id))
    if record is not None and record.body["state"] == "paid":
        Writer(reader.store, {}).replace(record, {"state": "posted"})


def _lines(reader: Reader, statement: JsonObject) -> list[Record]:
    return reader.store.find(LINE, "json_extract(body, '$.statement') = ?", (statement["id"],))


_Do = Callable[[Reader, JsonObject, bool], None]
_BUTTONS: Mapping[str, tuple[frozenset[str], _Do, str]] = {
    "validate_statement": (frozenset({"draft"}), _validate, "validated"),
    "post": (frozenset({"validated"}), _post, "posted"),
    "cancel": (frozenset({"draft", "validated"}), _cancel, "cancelled"),
}
