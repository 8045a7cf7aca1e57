"""Each rule refuses one bad example, and the committed schema files are clean."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from integration_fabric.governance.lint import Finding, lint
from integration_fabric.governance.schema_files import SchemaFile, parse, read_all

MONEY = {"type": "bytes", "logicalType": "decimal", "precision": 18, "scale": 4}
TIME = {"type": "long", "logicalType": "timestamp-micros"}


def field(name: str, avro: Any = "string", **more: Any) -> dict[str, Any]:
    return {"name": name, "type": avro, "doc": f"The {name}.", "dataClass": "internal", **more}


LINE = {"type": "record", "name": "Line", "noun": "orders", "doc": "One line.", "fields": [field("line_id"), field("amount", MONEY)]}
LEVEL = {"type": "enum", "name": "Level", "noun": "orders", "doc": "How much.", "symbols": ["unknown", "low"], "default": "unknown"}
EVENT: dict[str, Any] = {
    "type": "record",
    "name": "OrderHeld",
    "namespace": "order_desk.v1",
    "doc": "It waits.",
    "kind": "event",
    "domain": "order-desk",
    "noun": "orders",
    "owner": "sales",
    "key": "order_id",
    "fields": [
        field("order_id", businessKey="order"),
        field("currency"),
        field("native_id", nativeId={"entity": "order", "of": "order_id"}),
        field("lines", {"type": "array", "items": LINE}, default=[]),
        field("level", LEVEL, default="unknown"),
        field("held_at", TIME),
        field("ends_on", ["null", {"type": "int", "logicalType": "date"}], default=None),
        field("aggregate_version", "long"),
    ],
}
COMMAND: dict[str, Any] = {
    **EVENT,
    "name": "HoldOrder",
    "kind": "command",
    "fields": [field("order_id")],
    "replies": {"done": "order_desk.v1.OrderHeld", "refused": "order_desk.v1.OrderHeld"},
}

Change = Callable[[dict[str, Any]], object]


def files(
    event: dict[str, Any] = EVENT, command: dict[str, Any] = COMMAND, *, path: str = "order-desk/order-held.v1.avsc"
) -> list[SchemaFile]:
    return [parse(path, json.dumps(event)), parse("order-desk/hold-order.v1.avsc", json.dumps(command))]


def changed(record: dict[str, Any], change: Change) -> dict[str, Any]:
    copy = deepcopy(record)
    change(copy)
    return copy


def with_field(name: str, avro: Any, **more: Any) -> Change:
    return lambda record: record["fields"].append(field(name, avro, **more))


def without(*path: str | int) -> Change:
    def remove(record: Any) -> None:
        *to, last = path
        for step in to:
            record = record[step]
        del record[last]

    return remove


def put(value: Any, *path: str | int) -> Change:
    def replace(record: Any) -> None:
        *to, last = path
        for step in to:
            record = record[step]
        record[last] = value

    return replace


def test_committed_schema_files_are_clean() -> None:
    assert len(read_all()) > 50
    assert [str(finding) for finding in lint(read_all())] == []


def test_the_good_example_is_clean() -> None:
    assert lint(files()) == []


IN_LINE = ("fields", 3, "type", "items")


@pytest.mark.parametrize(
    ("change", "code", "path"),
    [
        (without("doc"), "doc", ""),
        (put("Word " * 40, "doc"), "doc", ""),
        (without("fields", 1, "doc"), "doc", "currency"),
        (without(*IN_LINE, "doc"), "doc", "Line"),
        (without(*IN_LINE, "fields", 0, "doc"), "doc", "lines.line_id"),
        (without("owner"), "owner", ""),
        (without("domain"), "domain", ""),
        (put("sales", "domain"), "folder", ""),
        (put("order_desk", "namespace"), "namespace", ""),
        (put("order-desk.v1", "namespace"), "namespace", ""),
        (put("desk.v1", "namespace"), "namespace", ""),
        (put("order_desk.v2", "namespace"), "file-name", ""),
        (put("OrderPaused", "name"), "file-name", ""),
        (without("kind"), "kind", ""),
        (put("rumour", "kind"), "kind", ""),
        (without("noun"), "noun", ""),
        (without(*IN_LINE, "noun"), "noun", "Line"),
        (put("yes", "compacted"), "compacted", ""),
        (without("key"), "key", ""),
        (put("gone_id", "key"), "key", ""),
        (put(["null", "string"], "fields", 0, "type"), "key", "order_id"),
        (without("fields", 7), "aggregate-version", ""),
        (put("int", "fields", 7, "type"), "aggregate-version", ""),
        (put({"done": "x", "refused": "x"}, "replies"), "replies", ""),
        (without("fields", 1, "dataClass"), "data-class", "currency"),
        (put("secret", "fields", 1, "dataClass"), "data-class", "currency"),
        (without(*IN_LINE, "fields", 1, "dataClass"), "data-class", "lines.amount"),
        (put("", "fields", 0, "businessKey"), "business-key", "order_id"),
        (put("version", "fields", 7, "businessKey"), "business-key", "aggregate_version"),
        (put({"entity": "order", "of": "gone"}, "fields", 2, "nativeId"), "native-id", "native_id"),
        (put({"of": "order_id"}, "fields", 2, "nativeId"), "native-id", "native_id"),
        (with_field("case_id", "long"), "id-type", "case_id"),
        (with_field("case_ids", {"type": "array", "items": "long"}), "id-type", "case_ids"),
        (with_field("total_amount", "double"), "money-type", "total_amount"),
        (with_field("total_amount", {**MONEY, "scale": 2}), "money-type", "total_amount"),
        (with_field("total_amount", ["null", "string"], default=None), "money-type", "total_amount"),
        (with_field("rate", "double", dataClass="financial"), "money-type", "rate"),
        (with_field("quantity", {**MONEY, "precision": 30}), "decimal-size", "quantity"),
        (put("currency_code", "fields", 1, "name"), "money-currency", "lines.amount"),
        (put("long", "fields", 5, "type"), "time-type", "held_at"),
        (put({"type": "long", "logicalType": "timestamp-millis"}, "fields", 5, "type"), "time-type", "held_at"),
        (with_field("since", {"type": "long", "logicalType": "local-timestamp-micros"}), "time-type", "since"),
        (with_field("starts_on", "string"), "date-type", "starts_on"),
        (without("fields", 4, "type", "default"), "enum-default", "Level"),
        (with_field("either", ["string", "int"]), "union", "either"),
        (with_field("maybe", ["null", "string"]), "union", "maybe"),
        (with_field("odd", "nothing"), "avro", ""),
        (put("enum", "type"), "avro", ""),
        (with_field("parent", ["null", "OrderHeld"], default=None), "avro", ""),
    ],
)
def test_each_rule_refuses_its_bad_example(change: Change, code: str, path: str) -> None:
    found = lint(files(changed(EVENT, change)))
    assert Finding("schemas/order-desk/order-held.v1.avsc", path, code, found[0].message) in found, [str(finding) for finding in found]


@pytest.mark.parametrize("change", [without("replies"), without("replies", "done"), put("order_desk.v1.Gone", "replies", "refused")])
def test_a_command_names_replies_that_exist(change: Change) -> None:
    (finding, *_) = lint(files(command=changed(COMMAND, change)))
    assert (finding.file, finding.code) == ("schemas/order-desk/hold-order.v1.avsc", "replies")


def test_a_reply_is_an_event() -> None:
    command = changed(COMMAND, put("order_desk.v1.HoldOrder", "replies", "done"))
    assert [finding.code for finding in lint(files(command=command))] == ["replies"]


def test_parts_that_differ_between_files_are_found() -> None:
    other = changed({**COMMAND, "fields": EVENT["fields"]}, put("Another line.", *IN_LINE, "doc"))
    (finding,) = lint(files(command=other))
    assert (finding.file, finding.code) == ("schemas/order-desk/hold-order.v1.avsc", "shared")


def test_a_finding_reads_as_one_line() -> None:
    (finding,) = lint(files(changed(EVENT, without("fields", 1, "dataClass"))))
    assert str(finding) == (
        "schemas/order-desk/order-held.v1.avsc: currency: "
        "dataClass is None; write one of financial, internal, personal, public [data-class]"
    )
