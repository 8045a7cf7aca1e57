"""Tryton's values: how they stand in JSON on the wire, and how in the store (decimals as text, times as ISO text)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from connectors.simulators.exchange import JsonObject, UnreadableError
from connectors.simulators.tryton.fields import Field, Type

_MOMENT = ("year", "month", "day", "hour", "minute", "second", "microsecond")


def parse_wire(_headers: Mapping[str, str], body: bytes) -> JsonObject:
    """A request body, with decimals and times as such.

    Raises:
        ValueError: it is not a JSON object.
    """
    parsed = json.loads(body, object_hook=revive) if body else {}
    if not isinstance(parsed, dict):
        raise UnreadableError("Unable to read JSON request")
    return parsed


def revive(value: JsonObject) -> Any:
    """`{"__class__": "Decimal", ...}` as a Decimal, and likewise for date and datetime; any other object as it is."""
    match value.get("__class__"):
        case "Decimal":
            return Decimal(value["decimal"])
        case "date":
            return date(value["year"], value["month"], value["day"])
        case "datetime":
            return datetime(*(value[part] for part in _MOMENT))  # noqa: DTZ001 - Tryton's times are naive UTC
        case _:
            return value


def stored(field: Field, value: Any) -> Any:
    """A value of the wire as it stands in the store.

    Raises:
        ValueError: it is no value of the field's type.
    """
    if value is None:
        return None
    match field.type:
        case Type.NUMERIC:
            return format(Decimal(str(value)), "f")
        case Type.FLOAT:
            return float(value)
        case Type.INTEGER | Type.MANY2ONE:
            return int(value)
        case Type.BOOLEAN:
            return bool(value)
        case Type.DATE:
            return value.isoformat() if isinstance(value, date) else date.fromisoformat(value).isoformat()
        case Type.DATETIME:
            moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
            return moment.replace(tzinfo=None).isoformat(timespec="microseconds")
        case _:
            return str(value)


def shown(field: Field, value: Any) -> Any:
    """A stored value as it stands on the wire."""
    if value is None:
        return None
    match field.type:
        case Type.NUMERIC:
            return decimal(value)
        case Type.DATE:
            return wire_date(date.fromisoformat(value))
        case Type.DATETIME:
            return {"__class__": "datetime", **_parts(datetime.fromisoformat(value), 7)}
        case _:
            return value


def decimal(value: Decimal | str) -> JsonObject:
    """A decimal on the wire."""
    return {"__class__": "Decimal", "decimal": str(value)}


def wire_date(day: date) -> JsonObject:
    """A date on the wire."""
    return {"__class__": "date", **_parts(day, 3)}


def _parts(moment: date, count: int) -> JsonObject:
    return {part: getattr(moment, part) for part in _MOMENT[:count]}
