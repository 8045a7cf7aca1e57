"""Message types say what the schema files say, and the committed ones are up to date."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from integration_fabric.governance import generate as generation
from integration_fabric.governance.generate import MESSAGES, drift, generate, main, write
from integration_fabric.governance.schema_files import SchemaFile, parse, read, read_all
from integration_fabric.messages.base import Event
from integration_fabric.messages.catalogue import BY_SCHEMA_NAME, BY_TOPIC
from integration_fabric.messages.errors import UsageProblem
from integration_fabric.messages.orders import OrderBooked

MONEY = {"type": "bytes", "logicalType": "decimal", "precision": 18, "scale": 4}
LEVEL = {"type": "enum", "name": "Level", "noun": "things", "doc": "How much.", "symbols": ["unknown", "low"], "default": "unknown"}
LINE = {
    "type": "record",
    "name": "Line",
    "noun": "lines",
    "doc": "One line.",
    "fields": [{"name": "id", "type": "string", "doc": "Its id."}],
}


def field(name: str, avro: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": avro, "doc": f"The {name}.", **more}


def event(*fields: dict[str, Any], name: str = "ThingMade", **more: Any) -> SchemaFile:
    record: dict[str, Any] = {
        "type": "record",
        "name": name,
        "namespace": "shop.v1",
        "doc": "It is made.",
        "kind": "event",
        "noun": "things",
        "key": "thing_id",
    }
    record.update(fields=[*fields, field("aggregate_version", "long")], **more)
    kebab = "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name).removeprefix("-")
    return parse(f"shop/{kebab}.v1.avsc", json.dumps(record))


def annotated(avro: Any, *, name: str = "thing", **more: Any) -> str:
    """What the generator makes of one field: `annotation = default`."""
    tree = ast.parse(generate([event(field(name, avro, **more))])["things"])
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == name:
            return ast.unparse(node).removeprefix(f"{name}: ")
    raise AssertionError(f"no field {name}")


def test_committed_modules_are_what_the_schema_files_say() -> None:
    assert drift(generate(read_all()), MESSAGES) == [], "message modules differ from schemas/: run `make generate`"


@pytest.mark.parametrize(
    ("avro", "expected"),
    [
        ("string", "str"),
        ("int", "int"),
        ("long", "int"),
        ("boolean", "bool"),
        ("double", "float"),
        ("bytes", "bytes"),
        (MONEY, "Decimal"),
        ({"type": "long", "logicalType": "timestamp-micros"}, "AwareDatetime"),
        ({"type": "int", "logicalType": "date"}, "date"),
        (LEVEL, "Level"),
        ({"type": "array", "items": "string"}, "tuple[str, ...]"),
        ({"type": "array", "items": LINE}, "tuple[Line, ...]"),
        ({"type": "map", "values": "string"}, "Mapping[str, str]"),
        (["null", "string"], "str | None"),
        (["null", {"type": "int", "logicalType": "date"}], "date | None"),
    ],
)
def test_each_avro_type_has_a_python_type(avro: Any, expected: str) -> None:
    assert annotated(avro) == expected


@pytest.mark.parametrize(
    ("avro", "default", "expected"),
    [
        ("string", "", "str = ''"),
        ("boolean", True, "bool = True"),
        ("int", 3, "int = 3"),
        (["null", "string"], None, "str | None = None"),
        (LEVEL, "low", "Level = Level.LOW"),
        ({"type": "array", "items": "string"}, [], "tuple[str, ...] = ()"),
        ({"type": "map", "values": "string"}, {}, "Mapping[str, str] = Field(default_factory=dict)"),
    ],
)
def test_defaults_are_kept(avro: Any, default: Any, expected: str) -> None:
    assert annotated(avro, default=default) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [("quote_id", "QuoteId"), ("legal_entity", "LegalEntity"), ("system", "System"), ("message_id", "MessageId"), ("line_id", "str")],
)
def test_identifiers_are_nominal_by_the_name_of_their_field(name: str, expected: str) -> None:
    assert annotated("string", name=name) == expected
    assert annotated(["null", "string"], name=name, default=None) == f"{expected} | None = None"


def test_a_name_that_every_message_uses_gets_an_underscore() -> None:
    text = generate([event(field("search_keys", "string"), field("from", "string"))])["things"]
    assert "    search_keys_: str\n" in text
    assert "    from_: str\n" in text


def test_what_the_record_says_becomes_class_variables() -> None:
    assert issubclass(OrderBooked, Event)
    assert OrderBooked.__doc__ == "The order stands in the ERP and can still be cancelled."
    assert (OrderBooked.topic, OrderBooked.schema_name, OrderBooked.key_field) == ("erp.order-booked.v1", "erp.v1.OrderBooked", "order_id")
    assert OrderBooked.business_key_fields == (("order", "order_id"), ("quote", "quote_id"))
    assert [tuple(native) for native in OrderBooked.native_ids] == [("order", "order_id", "native_id")]


def test_every_file_has_a_type_that_knows_its_topic_and_its_replies() -> None:
    assert {file.topic for file in read_all()} == set(BY_TOPIC)
    for file in read_all():
        kind = BY_TOPIC[file.topic]
        assert BY_SCHEMA_NAME[file.full_name] is kind
        assert read(kind) is file
        if "replies" in file.schema:
            replies = kind.replies  # type: ignore[attr-defined]
            assert {"done": replies.done.schema_name, "refused": replies.refused.schema_name} == file.schema["replies"]


def test_a_second_major_version_stands_beside_the_first() -> None:
    old = event(field("thing_id", "string"))
    new = parse("shop/thing-made.v2.avsc", json.dumps({**old.schema, "namespace": "shop.v2"}))
    text = generate([old, new])["things"]
    assert 'class ThingMadeV2(Event):\n    """It is made."""\n\n    topic: ClassVar[str] = "shop.thing-made.v2"' in text


def test_a_part_in_two_files_is_written_once() -> None:
    lines = {"type": "array", "items": LINE}
    text = generate([event(field("lines", lines)), event(field("lines", lines), name="ThingSold")])["lines"]
    assert text.count("class Line(Part)") == 1


def test_a_part_that_differs_between_files_is_refused_with_both() -> None:
    other = {**LINE, "doc": "Another line."}
    files = [event(field("line", LINE)), event(field("line", other), name="ThingSold")]
    with pytest.raises(
        UsageProblem, match=r"schemas/shop/thing-sold\.v1\.avsc: shop\.v1\.Line differs .* schemas/shop/thing-made\.v1\.avsc"
    ):
        generate(files)


def test_modules_that_would_import_each_other_are_refused() -> None:
    back = {"type": "array", "items": {**LEVEL, "name": "Other", "noun": "things"}}
    line = {**LINE, "fields": [field("others", back)]}
    with pytest.raises(UsageProblem, match="lines -> things -> lines"):
        generate([event(field("line", line))])


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (event(field("thing", ["string", "int"])), r"thing-made\.v1\.avsc: shop\.v1\.ThingMade\.thing: of unions only"),
        (event(field("thing", {"type": "long", "logicalType": "timestamp-millis"})), "timestamp-millis on long is not supported"),
        (event(field("thing", "Nothing")), r"shop\.v1\.Nothing is used before it is defined"),
        (event(field("thing", {**LINE, "noun": None})), r"shop\.v1\.Line lacks `noun`"),
        (event(noun="catalogue"), "choose another noun"),
        (event(kind="rumour"), "kind is 'rumour'"),
        (event(kind="command", replies={"done": "shop.v1.Gone", "refused": "shop.v1.Gone"}), r"reply `done` is 'shop\.v1\.Gone'"),
    ],
)
def test_what_cannot_be_expressed_is_refused_with_its_place(file: SchemaFile, words: str) -> None:
    with pytest.raises(UsageProblem, match=words):
        generate([file])


def test_writing_touches_only_what_differs(tmp_path: Path) -> None:
    texts = generate([event(field("thing_id", "string"))])
    assert write(texts, tmp_path) == ["catalogue.py", "things.py"]
    assert write(texts, tmp_path) == []
    (tmp_path / "gone.py").write_text("")
    (tmp_path / "base.py").write_text("")
    (tmp_path / "things.py").write_text("edited")
    assert drift(texts, tmp_path) == ["gone.py", "things.py"]
    assert write(texts, tmp_path) == ["gone.py", "things.py"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base.py", "catalogue.py", "things.py"]


def test_check_names_the_files_that_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 0
    write(generate(read_all()), tmp_path)
    (tmp_path / "orders.py").write_text("edited")
    monkeypatch.setattr(generation, "MESSAGES", tmp_path)
    assert main(["--check"]) == 1
    assert capsys.readouterr().out == "integration_fabric/messages/orders.py: differs from schemas/; run `make generate`\n"


def test_generated_text_is_formatted() -> None:
    """Whatever a schema file says: long texts, long lists of business keys, imports."""
    many = [field(f"a_long_field_name_{n}_id", "string", businessKey=f"a-long-business-key-{n}") for n in range(9)]
    others = [field("price", MONEY), field("day", {"type": "int", "logicalType": "date"}), field("level", LEVEL, default="low")]
    line = field("lines", {"type": "array", "items": {**LINE, "noun": "problems"}}, default=[])
    for name, text in generate([event(*many, *others, line, noun="quotes", doc="A summary. " + "Word " * 40 + "end.")]).items():
        for command in ("check", "format --diff"):
            arguments = [sys.executable, "-m", "ruff", *command.split(), "--no-cache", "--stdin-filename", f"{MESSAGES}/{name}.py", "-"]
            done = subprocess.run(arguments, input=text, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
