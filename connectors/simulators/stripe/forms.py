"""Reads Stripe's request bodies: bracketed forms, or JSON with the same names; both end as one typed object."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qsl

from connectors.simulators.exchange import JsonObject, UnreadableError

_PART = re.compile(r"\[([^\]]*)\]")
_INTEGERS = frozenset(
    {
        "quantity",
        "unit_amount",
        "amount",
        "interval_count",
        "trial_end",
        "billing_cycle_anchor",
        "backdate_start_date",
        "cancel_at",
        "days_until_due",
    }
)
_BOOLEANS = frozenset(
    ["active", "cancel_at_period_end", "transfer_lookup_key", "invoice_now", "prorate", "off_session", "inclusive", "auto_advance"]
)
_WORDS = {"true": True, "false": False}


def parse_body(headers: Mapping[str, str], body: bytes) -> JsonObject:
    """The parameters of a request.

    Raises:
        ValueError: the body is neither a form nor a JSON object.
    """
    if "json" in headers.get("content-type", ""):
        parsed = json.loads(body or b"{}")
        if not isinstance(parsed, dict):
            raise UnreadableError("the body must be a JSON object")
        return parsed
    return parse_pairs(parse_qsl(body.decode(), keep_blank_values=True))


def parse_pairs(pairs: Iterable[tuple[str, str]]) -> JsonObject:
    """`items[0][price]=p` as `{"items": [{"price": "p"}]}`, with whole numbers and truth values as such.

    Raises:
        ValueError: a name is used both for a value and for a structure, or a number is none.
    """
    tree: JsonObject = {}
    for name, value in pairs:
        head, *rest = name.split("[", 1)
        _place(tree, [head, *_PART.findall("[" + rest[0] if rest else "")], value)
    typed: JsonObject = _typed("", tree)
    return typed


def _place(tree: JsonObject, path: list[str], value: str) -> None:
    node = tree
    for part, following in pairwise(path):
        node = node.setdefault(part, {})
        if not isinstance(node, dict):
            raise UnreadableError(f"'{part}' is both a value and a structure ('{following}')")
    last = path[-1] or str(len(node))
    node[last] = value


def _typed(name: str, value: Any) -> Any:
    if isinstance(value, dict):
        if value and all(key.isdigit() for key in value):
            return [_typed(name, value[key]) for key in sorted(value, key=int)]
        return {key: (each if name == "metadata" else _typed(key, each)) for key, each in value.items()}
    if name in _INTEGERS and value != "":
        return int(value)
    if name in _BOOLEANS:
        return _WORDS.get(value, value)
    return value
