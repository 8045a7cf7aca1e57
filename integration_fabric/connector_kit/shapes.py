"""What vendors send, checked where it comes in: exact numbers, and the field path of what the pinned version does not allow."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from integration_fabric.messages.errors import VendorDrift

S = TypeVar("S", bound=BaseModel)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse_json(payload: bytes) -> Any:
    """The value of a JSON text, its fractions as exact decimals. Raises VendorDrift where it is none."""
    try:
        return json.loads(payload, parse_float=Decimal, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise VendorDrift(f"the payload is no JSON: {error}") from error


def shaped(shape: type[S], value: object) -> S:
    """A value as a model of what the vendor sends; fields that the model does not name are the vendor's to add.

    Raises:
        VendorDrift: a field is missing or of another kind; `path` names the first of them, e.g. `lines[2].price`.
    """
    try:
        return shape.model_validate(value)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise VendorDrift(f"{problems[0]['msg']}{more}", path=field_path(problems[0]["loc"])) from error


def field_path(parts: Sequence[int | str]) -> str:
    """`lines[2].price` for ("lines", 2, "price")."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
    return text.removeprefix(".")


def version_at(moment: datetime) -> int:
    """An aggregate version from the time of a change: microseconds since 1970."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")
