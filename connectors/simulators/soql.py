"""The part of SOQL that a poller needs, as an SQL condition over stored bodies; used by the Salesforce simulator's query endpoint.

`SELECT ... FROM object [WHERE f op literal [AND ...]] [ORDER BY f [ASC|DESC], ...] [LIMIT n] [OFFSET n]`; the list of fields is not
looked at, an answer has them all.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from connectors.simulators.clock import iso_millis

_STATEMENT = re.compile(
    r"\s*SELECT\s+(?P<fields>.+?)\s+FROM\s+(?P<sobject>\w+)"
    r"(?:\s+WHERE\s+(?P<where>.+?))?(?:\s+ORDER\s+BY\s+(?P<order>[\w\s,]+?))?(?:\s+LIMIT\s+(?P<limit>\d+))?(?:\s+OFFSET\s+(?P<offset>\d+))?\s*",
    re.IGNORECASE | re.DOTALL,
)
_CONDITION = re.compile(r"\s*(?P<field>\w+)\s*(?P<operator>=|!=|>=|<=|>|<|\bIN\b)\s*(?P<literal>.+?)\s*", re.IGNORECASE | re.DOTALL)
_STRING = re.compile(r"'((?:[^'\\]|\\.)*)'")
_DATETIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)")
_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_ORDER = re.compile(r"\s*(?P<field>\w+)(?:\s+(?P<direction>ASC|DESC))?\s*", re.IGNORECASE)
_WORDS: dict[str, Any] = {"true": True, "false": False, "null": None}
_NULL_TESTS = {"=": "IS NULL", "!=": "IS NOT NULL"}


class MalformedQueryError(ValueError):
    """The statement is not of the part of SOQL that is understood."""


class UnknownFieldError(ValueError):
    """The object has no such field."""


@dataclass(frozen=True, slots=True)
class Query:
    """What `Store.find` takes."""

    sobject: str
    where: str
    values: tuple[Any, ...]
    order: str
    limit: int | None
    offset: int


def parse_query(statement: str, fields: Collection[str]) -> Query:
    """Understand a statement.

    Args:
        statement: SOQL.
        fields: those that the object has.

    Raises:
        MalformedQueryError: it is not of the part that is understood.
        UnknownFieldError: it names a field that is not there.
    """
    match = _STATEMENT.fullmatch(statement)
    if match is None:
        raise MalformedQueryError(f"unexpected token in: {statement}")
    conditions, values = ["1"], []
    for text in re.split(r"\s+AND\s+", match["where"] or "", flags=re.IGNORECASE):
        if text.strip():
            condition, bound = _condition(text, fields)
            conditions.append(condition)
            values += bound
    limit = None if match["limit"] is None else int(match["limit"])
    return Query(
        match["sobject"], " AND ".join(conditions), tuple(values), _order(match["order"], fields), limit, int(match["offset"] or 0)
    )


def _condition(text: str, fields: Collection[str]) -> tuple[str, list[Any]]:
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise MalformedQueryError(f"unexpected condition: {text}")
    column = _column(match["field"], fields)
    operator = match["operator"].upper()
    if operator == "IN":
        listed = [part.replace("\\'", "'") for part in _STRING.findall(match["literal"])]
        return f"{column} IN ({', '.join('?' * len(listed))})", listed
    value = _literal(match["literal"])
    if value is None:
        if operator not in _NULL_TESTS:
            raise MalformedQueryError(f"null cannot be compared by {operator}")
        return f"{column} {_NULL_TESTS[operator]}", []
    return f"{column} {operator} ?", [value]


def _literal(text: str) -> Any:
    if match := _STRING.fullmatch(text):
        return match[1].replace("\\'", "'")
    if _DATETIME.fullmatch(text):
        return iso_millis(datetime.fromisoformat(text))
    if _NUMBER.fullmatch(text):
        return float(text)
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    raise MalformedQueryError(f"unexpected literal: {text}")


def _order(text: str | None, fields: Collection[str]) -> str:
    if text is None:
        return "position"
    ordered = []
    for part in text.split(","):
        match = _ORDER.fullmatch(part)
        if match is None:
            raise MalformedQueryError(f"unexpected order: {part}")
        ordered.append(f"{_column(match['field'], fields)} {(match['direction'] or 'ASC').upper()}")
    return ", ".join(ordered)


def _column(field: str, fields: Collection[str]) -> str:
    if field == "Id":
        return "id"
    if field not in fields:
        raise UnknownFieldError(f"No such column '{field}'")
    return f"json_extract(body, '$.{field}')"
