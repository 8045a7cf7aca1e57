"""Puts the ERP simulator together: Tryton's REST endpoints over the generic records."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any

from connectors.simulators.exchange import Answer, Call, Endpoint, Handler, JsonObject, Vendor, do_nothing, read
from connectors.simulators.store import Record
from connectors.simulators.tryton import invoices, periods, sales, statements
from connectors.simulators.tryton.domains import DomainError
from connectors.simulators.tryton.errors import crashed, failure, forbidden, not_found
from connectors.simulators.tryton.models import INDEXED, MODELS
from connectors.simulators.tryton.reader import DEFAULT_FIELDS, Reader
from connectors.simulators.tryton.rules import check_modifiable
from connectors.simulators.tryton.sales import process_confirmed
from connectors.simulators.tryton.seed import seed_landscape
from connectors.simulators.tryton.values import parse_wire, revive
from connectors.simulators.tryton.writer import Writer


@dataclass(frozen=True, slots=True)
class _Life:
    """What a model's records go through: their buttons, and what must be so before one is deleted."""

    press: Callable[[Reader, Record, str, JsonObject], JsonObject]
    delete: Callable[[Reader, Record], None] | None = None


_LIVES: Mapping[str, _Life] = {
    "sale.sale": _Life(sales.press, sales.delete),
    "account.invoice": _Life(invoices.press, invoices.delete),
    "account.statement": _Life(statements.press, statements.delete),
    "account.period": _Life(periods.press),
    "account.journal.period": _Life(periods.press_journal),
}


def vendor(*, seeded: bool) -> Vendor:
    """The simulator.

    Args:
        seeded: whether an empty one gets the landscape's master data.
    """
    records = "/{database}/rest/model/{model}"
    return Vendor(
        name="tryton",
        prefix="/erp",
        endpoints=(
            read(records, _as_tryton(search)),
            Endpoint("POST", records, _as_tryton(create)),
            read(f"{records}/{{id:int}}", _as_tryton(read_one)),
            Endpoint("PUT", f"{records}/{{id:int}}", _as_tryton(update)),
            Endpoint("DELETE", f"{records}/{{id:int}}", _as_tryton(delete)),
            Endpoint("POST", f"{records}/{{id:int}}/{{button}}", _as_tryton(push_button)),
        ),
        failure=failure,
        parse=parse_wire,
        indexed=INDEXED,
        settle=process_confirmed,
        seed=seed_landscape if seeded else do_nothing,
    )


def search(call: Call) -> Answer:
    """`GET .../<model>?d=&o=&s=&p=&f=`."""
    context = _context(call)
    model, reader = _model(call), Reader(call.store, active_test=bool(context.get("active_test", True)), company=context.get("company"))
    limit = call.first("s")
    found = reader.find(
        model,
        _coded(call, "d") or [],
        order=_coded(call, "o"),
        limit=None if limit is None else int(limit),
        offset=int(call.first("p") or 0),
    )
    return Answer(200, [reader.read(model, record.body, _paths(call)) for record in found])


def read_one(call: Call) -> Answer:
    """`GET .../<model>/<id>?f=`."""
    model, reader = _model(call), _reader(call)
    return Answer(200, reader.read(model, reader.one(model, int(call.parts["id"])), _paths(call)))


def create(call: Call) -> Answer:
    """`POST .../<model>?f=` with the values."""
    model = _model(call)
    known_by = call.body.get(MODELS[model].known_by)
    call.concerns(model, None if known_by is None else str(known_by))
    return _shown(call, model, Writer(call.store, _context(call)).create(model, call.body))


def update(call: Call) -> Answer:
    """`PUT .../<model>/<id>?f=` with the values to change."""
    record = _active(call)
    check_modifiable(Reader(call.store), record.kind, record.body, call.body)
    return _shown(call, record.kind, Writer(call.store, _context(call)).write(record.kind, record, call.body))


def delete(call: Call) -> Answer:
    """`DELETE .../<model>/<id>`: 204."""
    record = _active(call)
    life = _LIVES.get(record.kind)
    if life is not None and life.delete is not None:
        life.delete(Reader(call.store), record)
    else:
        call.store.delete(record)
    return Answer(204)


def push_button(call: Call) -> Answer:
    """`POST .../<model>/<id>/<button>?f=`."""
    record = _active(call)
    life = _LIVES.get(record.kind)
    if life is None:
        raise forbidden()
    return _shown(call, record.kind, life.press(Reader(call.store), record, call.parts["button"], _context(call)))


def _as_tryton(handler: Callable[[Call], Answer]) -> Handler:
    """An unknown name or a malformed parameter ends as Tryton ends it: with a 500."""

    @wraps(handler)
    def guarded(call: Call) -> Answer:
        try:
            return handler(call)
        except (KeyError, ValueError, DomainError) as error:
            raise crashed(str(error)) from error

    return guarded


def _model(call: Call) -> str:
    model = call.parts["model"]
    if model not in MODELS:
        raise KeyError(model)
    return model


def _active(call: Call) -> Record:
    """The record of the path; as in Tryton an inactive one is not found by a write."""
    model = _model(call)
    record = call.store.get(model, str(call.parts["id"]))
    if record is not None:
        call.concerns(model, record.external_id)
    if record is None or not record.body.get("active", True):
        raise not_found()
    return record


def _shown(call: Call, model: str, body: JsonObject) -> Answer:
    return Answer(200, _reader(call).read(model, body, _paths(call)))


def _reader(call: Call) -> Reader:
    return Reader(call.store, company=_context(call).get("company"))


def _paths(call: Call) -> list[str]:
    return call.all("f") or list(DEFAULT_FIELDS)


def _coded(call: Call, name: str) -> Any:
    text = call.first(name)
    return None if text is None else json.loads(urlsafe_b64decode(text), object_hook=revive)


def _context(call: Call) -> JsonObject:
    text = call.headers.get("x-tryton-context")
    return json.loads(urlsafe_b64decode(text)) if text else {}
