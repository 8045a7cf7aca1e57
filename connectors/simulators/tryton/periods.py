"""Accounting periods of the ERP simulator: which one a date falls into, and their buttons."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from connectors.simulators.exchange import JsonObject
from connectors.simulators.store import Record
from connectors.simulators.tryton.errors import forbidden, refused
from connectors.simulators.tryton.reader import Reader
from connectors.simulators.tryton.writer import Writer

PERIOD, YEAR, JOURNAL = "account.period", "account.fiscalyear", "account.journal.period"

_BUTTONS: Mapping[str, tuple[frozenset[str], str]] = {
    "close": (frozenset({"open"}), "closed"),
    "reopen": (frozenset({"closed"}), "open"),
    "lock_": (frozenset({"closed"}), "locked"),
}


def press(reader: Reader, record: Record, button: str, _context: Mapping[str, object]) -> JsonObject:
    """Press a button on a period; raises RefusedError."""
    if button not in _BUTTONS:
        raise forbidden()
    allowed_in, leads_to = _BUTTONS[button]
    if record.body["state"] not in allowed_in:
        raise refused(f'You can not call "{button}" on "{record.body["name"]}" of "Account Period".')
    if button == "close":
        _check_posted(reader, record.body)
        for journal in reader.find(JOURNAL, [["period", "=", record.body["id"]]]):
            Writer(reader.store, {}).replace(journal, {"state": "closed"})
    return Writer(reader.store, {}).replace(record, {"state": leads_to})


def press_journal(reader: Reader, record: Record, button: str, _context: Mapping[str, object]) -> JsonObject:
    """Press a button on the part of a journal that is a period's: it closes with the period, and is not reopened with it."""
    if button not in {"close", "reopen"}:
        raise forbidden()
    return Writer(reader.store, {}).replace(record, {"state": "closed" if button == "close" else "open"})


def check_journal(reader: Reader, period: JsonObject, journal: int) -> None:
    """Whether a journal takes entries in a period; what was never used is made. Raises RefusedError: 403, as for a missing right."""
    found = reader.find(JOURNAL, [["period", "=", period["id"]], ["journal", "=", journal]], limit=1)
    if not found:
        Writer(reader.store, {}).put(JOURNAL, {"period": period["id"], "journal": journal})
    elif found[0].body["state"] == "closed":
        raise forbidden()


def open_period(reader: Reader, company: int, day: date) -> JsonObject:
    """The period that a date falls into.

    Raises:
        RefusedError: there is none, or it is closed.
    """
    domain = [["start_date", "<=", day], ["end_date", ">=", day], ["type", "=", "standard"]]
    found = [period for period in reader.find(PERIOD, domain) if reader.one(YEAR, period.body["fiscalyear"])["company"] == company]
    name = reader.name("company.company", reader.one("company.company", company))
    if not found:
        raise refused(f'To continue, you must create a period for the date "{day:%m/%d/%Y}" and company "{name}".')
    period = found[0].body
    if period["state"] != "open":
        raise refused(f'To continue, you must reopen the period "{period["name"]}" of company "{name}" for the date "{day:%m/%d/%Y}".')
    return period


def _check_posted(reader: Reader, period: JsonObject) -> None:
    drafts = reader.find("account.move", [["period", "=", period["id"]], ["state", "!=", "posted"]], limit=1)
    if drafts:
        move = f"({drafts[0].body['id']})"
        raise refused(f'To close period "{period["name"]}", you must post the moves "{move}".')
