"""Tryton's search domains as SQL conditions over stored records; used by every search of the ERP simulator."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from connectors.simulators.tryton.fields import Field, Type
from connectors.simulators.tryton.models import MODELS, field_of
from connectors.simulators.tryton.values import stored

Bound = tuple[str, list[Any]]
_COMPARISONS = frozenset({"=", "!=", "<", "<=", ">", ">="})
_LIKES = {"like": "{} LIKE ?", "not like": "{} NOT LIKE ?", "ilike": "upper({}) LIKE upper(?)", "not ilike": "upper({}) NOT LIKE upper(?)"}
_ID = "CAST(id AS INTEGER)"
_DIRECTION = re.compile(r"(ASC|DESC)( NULLS (FIRST|LAST))?", re.IGNORECASE)
_LEAF = 3


class DomainError(Exception):
    """The domain or the order is not one that Tryton (or its subset here) understands."""


def condition(model: str, domain: Any, *, active_test: bool = True) -> Bound:
    """A domain as SQL with its values; with `active_test` inactive records are left out unless the domain speaks of `active`.

    Raises:
        DomainError: it is malformed, or uses an operator that is not there.
        KeyError: it names a field that the model has not.
    """
    sql, values = _joined(model, domain)
    if active_test and "active" in MODELS[model].fields and not _mentions_active(domain):
        return f"({sql}) AND json_extract(body, '$.active') = 1", values
    return sql, values


def order_by(model: str, order: Sequence[Sequence[str]] | None) -> str:
    """An order as SQL; the model's own where there is none.

    Raises:
        DomainError: a direction is none.
        KeyError: it names a field that the model has not.
    """
    parts = []
    for name, direction in order or MODELS[model].order:
        if not _DIRECTION.fullmatch(direction):
            raise DomainError(f"wrong direction in order: {direction}")
        parts.append(f"{_column(name, field_of(model, name))} {direction}")
    return ", ".join([*parts, "position"])


def _joined(model: str, domain: Any) -> Bound:
    if not isinstance(domain, list):
        raise DomainError(f"invalid domain: {domain}")
    word, clauses = ("AND", domain)
    if domain and domain[0] in ("AND", "OR"):
        word, clauses = domain[0], domain[1:]
    if not clauses:
        return "1", []
    parts = [_leaf(model, clause) if _is_leaf(clause) else _joined(model, clause) for clause in clauses]
    return f" {word} ".join(f"({sql})" for sql, _ in parts), [value for _, values in parts for value in values]


def _is_leaf(clause: Any) -> bool:
    return (
        isinstance(clause, list)
        and len(clause) >= _LEAF
        and isinstance(clause[0], str)
        and isinstance(clause[1], str)
        and clause[0] not in ("AND", "OR")
    )


def _leaf(model: str, clause: list[Any]) -> Bound:
    path, operator, value = clause[:_LEAF]
    name, _, rest = path.partition(".")
    field = field_of(model, name)
    if field.through:
        return _leaf(model, [f"{field.through}.{path}", operator, value])
    if rest:
        return _refers(name, field, _leaf(field.target, [rest, operator, value]))
    if field.type in (Type.ONE2MANY, Type.MANY2MANY):
        return _refers(name, field, _leaf(field.target, ["id", operator, value]))
    if field.type is Type.COMPUTED:
        raise DomainError(f"{name} cannot be searched here")
    return _compared(_column(name, field), field, operator, value)


def _refers(name: str, field: Field, inner: Bound) -> Bound:
    sql, values = inner
    if not field.target:
        raise DomainError(f"{name} refers to nothing")
    if field.type is Type.ONE2MANY:
        found = f"SELECT json_extract(body, '$.{field.inverse}') FROM records WHERE kind = ? AND ({sql})"  # noqa: S608 - names from the table of models
        return f"{_ID} IN ({found})", [field.target, *values]
    found = f"SELECT {_ID} FROM records WHERE kind = ? AND ({sql})"  # noqa: S608 - names from the table of models
    if field.type is Type.MANY2MANY:
        linked = f"SELECT 1 FROM json_each(body, '$.{name}') AS each WHERE each.value IN ({found})"  # noqa: S608 - as above
        return f"EXISTS ({linked})", [field.target, *values]
    return f"json_extract(body, '$.{name}') IN ({found})", [field.target, *values]


def _column(name: str, field: Field) -> str:
    if name == "id":
        return _ID
    extracted = f"json_extract(body, '$.{name}')"
    return f"CAST({extracted} AS REAL)" if field.type is Type.NUMERIC else extracted


def _compared(column: str, field: Field, operator: str, value: Any) -> Bound:
    if operator in ("in", "not in"):
        return _within(column, field, operator, value)
    if operator in _LIKES:
        return _LIKES[operator].format(column), [value]
    if operator not in _COMPARISONS:
        raise DomainError(f"invalid operator: {operator}")
    if value is None:
        return f"{column} IS {'NULL' if operator == '=' else 'NOT NULL'}", []
    return f"{column} {operator} ?", [_bound(field, value)]


def _within(column: str, field: Field, operator: str, value: Any) -> Bound:
    if not isinstance(value, list):
        raise DomainError(f"{operator} takes a list")
    bound = [_bound(field, each) for each in value if each is not None]
    sql = f"{column} {operator.upper()} ({', '.join('?' * len(bound))})"
    if None in value:
        sql = f"{sql} OR {column} IS NULL" if operator == "in" else f"{sql} AND {column} IS NOT NULL"
    return sql, bound


def _bound(field: Field, value: Any) -> Any:
    try:
        converted = stored(field, value)
    except (TypeError, ValueError) as error:
        raise DomainError(str(error)) from error
    return float(converted) if field.type is Type.NUMERIC else converted


def _mentions_active(domain: Any) -> bool:
    return any((clause[0] == "active") if _is_leaf(clause) else isinstance(clause, list) and _mentions_active(clause) for clause in domain)
