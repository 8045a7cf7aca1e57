"""Accounting periods of the ERP simulator: which one a date falls into, and their buttons."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from connectors.simulators.exchange import JsonObject
from connectors.simulators.store import Record
from connectors.simulators.tryton.errors import forbidden, refused
from connectors.simulators.tryton.reader import Reader
from connectors.simulators.tryton.writer import Writer

PERIOD, YEAR = "account.period", "account.fiscalyear"

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
    return Writer(reader.store, {}).replace(record, {"state": leads_to})


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
