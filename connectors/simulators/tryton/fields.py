"""What the ERP simulator's tables of models are made of: types, fields, models; everything else about records is generic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum, auto
from typing import Any


class Type(StrEnum):
    """How a field is kept and shown."""

    TEXT = auto()
    INTEGER = auto()
    FLOAT = auto()
    NUMERIC = auto()
    BOOLEAN = auto()
    DATE = auto()
    DATETIME = auto()
    MANY2ONE = auto()
    ONE2MANY = auto()
    MANY2MANY = auto()
    COMPUTED = auto()


@dataclass(frozen=True, slots=True)
class Field:
    """One field.

    Attributes:
        label: for messages.
        type: see there.
        target: model that it refers to.
        inverse: the target's field that refers back, of a ONE2MANY.
        required: must have a value.
        default: value at creation.
        through: the field over which another model's field of the same name is shown; such a field cannot be written.
        guarded: the API refuses to write it.
        digits: at most so many after the point.
    """

    label: str
    type: Type = Type.TEXT
    target: str = ""
    inverse: str = ""
    required: bool = False
    default: Any = None
    through: str = ""
    guarded: bool = False
    digits: int | None = None


@dataclass(frozen=True, slots=True)
class Model:
    """One model.

    Attributes:
        label: for messages.
        fields: by name.
        order: SQL order of a search that names none, as (field, direction).
        known_by: the field that outsiders know a record by; for the call log.
        unique: the field whose values must differ: a constraint of Tryton's, which users are told of.
        once: fields that together may come once: an index of the database's own, which ends as a 500 there.
        once_where: one field's value that a record must have for `once` to hold for it.
    """

    label: str
    fields: Mapping[str, Field]
    order: tuple[tuple[str, str], ...] = (("id", "ASC"),)
    known_by: str = "name"
    unique: str | None = None
    once: tuple[str, ...] = ()
    once_where: tuple[str, str] | None = None


def to_one(label: str, target: str, *, required: bool = False) -> Field:
    """A reference."""
    return Field(label, Type.MANY2ONE, target=target, required=required)


def to_many(label: str, target: str, inverse: str) -> Field:
    """The records that refer to one by their field `inverse`."""
    return Field(label, Type.ONE2MANY, target=target, inverse=inverse)


NAME = Field("Name", required=True)
ACTIVE = Field("Active", Type.BOOLEAN, default=True)
BY_NAME = (("name", "ASC"),)
COMMON = {
    "id": Field("ID", Type.INTEGER),
    "create_date": Field("Created at", Type.DATETIME, guarded=True),
    "write_date": Field("Edited at", Type.DATETIME, guarded=True),
    "rec_name": Field("Record Name", Type.COMPUTED),
}


def through_template(*names: str) -> dict[str, Field]:
    """Fields of a product that are its template's."""
    return {name: Field(name, through="template") for name in names}
