"""Creates and changes records of the ERP simulator: defaults, commands for sub-records, checks; rules of one model are in `rules`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from connectors.simulators.clock import now
from connectors.simulators.exchange import JsonObject
from connectors.simulators.store import DuplicateError, Record, Store
from connectors.simulators.tryton.errors import crashed, not_found, refused
from connectors.simulators.tryton.fields import Field, Type
from connectors.simulators.tryton.models import MODELS, field_of
from connectors.simulators.tryton.reader import Reader
from connectors.simulators.tryton.rules import WRITTEN_AT_CREATION, after_change, before_create, check, not_in_domain
from connectors.simulators.tryton.values import stored

_SEVERAL = (Type.ONE2MANY, Type.MANY2MANY)


class Writer:
    """Writes to one store.

    Args:
        store: where.
        context: as given by `X-Tryton-Context`; its `company` is the default of that field.
    """

    def __init__(self, store: Store, context: Mapping[str, Any]) -> None:
        self._store = store
        self._context = context
        self._reader = Reader(store)

    def create(self, model: str, values: JsonObject) -> JsonObject:
        """Add a record with its sub-records.

        Args:
            model: of which model.
            values: by field.

        Returns:
            Its body.

        Raises:
            RefusedError: a value is missing, wrong, taken, or refers to nothing.
            KeyError: a field that is not there.
        """
        self._check_names(model, values)
        body = {**_defaults(model), **self._own_values(model, values)}
        before_create(self._store, model, body, self._context)
        at = _moment()
        body |= {"id": self._store.next_number(model), "create_date": at, "write_date": at if model in WRITTEN_AT_CREATION else None}
        return self._settled(model, body, values, lambda: self._insert(model, body))

    def put(self, model: str, values: JsonObject) -> JsonObject:
        """Add a record that the simulator makes itself, of stored values, unchecked; the rest is at its default."""
        body = {**_defaults(model), **values, "id": self._store.next_number(model), "create_date": _moment(), "write_date": None}
        self._insert(model, body)
        return body

    def write(self, model: str, record: Record, values: JsonObject) -> JsonObject:
        """Change a record; its sub-records by commands. Raises as `create`."""
        self._check_names(model, values)
        body = {**record.body, **self._own_values(model, values, record.body), "write_date": _moment()}
        return self._settled(model, body, values, lambda: self._replace(model, record, body))

    def replace(self, record: Record, changes: JsonObject) -> JsonObject:
        """Change what the API may not write, e.g. a state."""
        body = {**record.body, **changes, "write_date": _moment()}
        self._store.replace(record, body)
        return body

    def _settled(self, model: str, body: JsonObject, values: JsonObject, save: Callable[[], Any]) -> JsonObject:
        self._check_references(model, body)
        save()
        self._follow_commands(model, body, values)
        self._check_required(model, body)
        check(self._reader, model, body)
        after_change(self._store, model, body)
        return body

    def _check_names(self, model: str, values: JsonObject) -> None:
        for name in values:
            field = field_of(model, name)
            if field.guarded:
                raise refused(f'You are not allowed to modify the field "{field.label}" of "{MODELS[model].label}".')
            if field.through or field.type is Type.COMPUTED:
                raise crashed(f'Missing setter function for field "{field.label}" in "{MODELS[model].label}".')

    def _own_values(self, model: str, values: JsonObject, before: JsonObject | None = None) -> JsonObject:
        own: JsonObject = {}
        for name, value in values.items():
            field = field_of(model, name)
            try:
                if field.type is Type.MANY2MANY:
                    own[name] = _linked((before or {}).get(name) or [], value or [])
                elif field.type is not Type.ONE2MANY:
                    own[name] = stored(field, value)
            except (TypeError, ValueError, ArithmeticError) as error:
                raise crashed(f"{name}: {error}") from error
        return own

    def _insert(self, model: str, body: JsonObject) -> None:
        known_by = body.get(MODELS[model].known_by)
        external_id = None if known_by is None else str(known_by)
        try:
            self._store.insert(model, str(body["id"]), body, external_id=external_id, unique_key=_unique_key(model, body))
        except DuplicateError as error:
            raise _not_unique(model) from error

    def _replace(self, model: str, record: Record, body: JsonObject) -> None:
        try:
            self._store.replace(record, body, unique_key=_unique_key(model, body))
        except DuplicateError as error:
            raise _not_unique(model) from error

    def _follow_commands(self, model: str, body: JsonObject, values: JsonObject) -> None:
        for name, commands in values.items():
            field = field_of(model, name)
            if field.type is Type.ONE2MANY:
                for command, *arguments in commands or []:
                    self._follow(field, body["id"], command, arguments)

    def _follow(self, field: Field, owner: int, command: str, arguments: list[Any]) -> None:
        match command, arguments:
            case "create", [list() as given]:
                for values in given:
                    self.create(field.target, {**values, field.inverse: owner})
            case "write", [list() as ids, dict() as values]:
                for record in self._records(field.target, ids):
                    self.write(field.target, record, values)
            case (("delete" | "remove"), [list() as ids]):
                for record in self._records(field.target, ids):
                    self._store.delete(record)
            case _:
                raise crashed(f"unknown command {command}")

    def _records(self, model: str, ids: Iterable[int]) -> list[Record]:
        records = [self._store.get(model, str(each)) for each in ids]
        if None in records:
            raise not_found()
        return [record for record in records if record is not None]

    def _check_references(self, model: str, body: JsonObject) -> None:
        for name, field in MODELS[model].fields.items():
            if field.through or field.type not in (Type.MANY2ONE, Type.MANY2MANY) or not field.target:
                continue
            value = body.get(name)
            for target in value if isinstance(value, list) else [] if value is None else [value]:
                if self._store.get(field.target, str(target)) is None:
                    raise refused(not_in_domain(target, model, name, str(body.get("reference") or body.get("name") or body["id"])))

    def _check_required(self, model: str, body: JsonObject) -> None:
        for name, field in MODELS[model].fields.items():
            if field.required and body.get(name) in (None, ""):
                record = self._reader.name(model, body)
                raise refused(f'A value is required for field "{field.label}" in record "{record}" of "{MODELS[model].label}".')


def _defaults(model: str) -> JsonObject:
    """Every field that a record keeps itself, at its default."""
    fields = MODELS[model].fields.items()
    kept = {name: field for name, field in fields if field.type not in (Type.ONE2MANY, Type.COMPUTED) and not field.through}
    return {name: [] if field.type is Type.MANY2MANY else field.default for name, field in kept.items()}


def _linked(before: list[int], commands: Any) -> list[int]:
    linked = list(before)
    for command, ids in commands:
        if command == "add":
            linked += [each for each in ids if each not in linked]
        elif command == "remove":
            linked = [each for each in linked if each not in ids]
        else:
            raise ValueError(f"unknown command {command}")
    return linked


def _unique_key(model: str, body: JsonObject) -> str | None:
    """What may come once: the value of one field, or of several together."""
    table = MODELS[model]
    if table.unique:
        value = body.get(table.unique)
        return None if value is None else str(value)
    applies = table.once and (table.once_where is None or body.get(table.once_where[0]) == table.once_where[1])
    values = [body.get(name) for name in table.once]
    return "|".join(map(str, values)) if applies and None not in values else None


def _not_unique(model: str) -> Exception:
    table = MODELS[model]
    if table.once:
        name = model.replace(".", "_")
        return crashed(f"UNIQUE constraint failed: {', '.join(f'{name}.{field}' for field in table.once)}")
    if model == "account.dunning":
        return refused("Line can be used only once on dunning.")
    return refused(f"The {table.unique} on {table.label.lower()} must be unique.")


def _moment() -> str:
    return now().replace(tzinfo=None).isoformat(timespec="microseconds")
