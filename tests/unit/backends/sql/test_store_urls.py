"""What people are shown of a store's URL: never its password, however it is written."""

from __future__ import annotations

import pytest

from integration_fabric.backends.sql.dialects import make_engine, shown
from integration_fabric.messages.errors import UsageProblem

WITH_PASSWORD = [
    "postgresql+psycopg://fabric:secret@db.example/fabric",
    "postgres://fabric:secret@db.example/fabric",
    "postgresql+psycopg://fabric@db.example/fabric?password=secret&sslmode=require",
    "postgresql+psycopg://fabric:sec/secret@db.example/fabric",
    "postgresql+psycopg://fabric:a@secret@db.example:5432/fabric",
    "postgresql//fabric:secret@db.example",
    "postgresql+none://fabric:secret@db.example/fabric",
    "mysql://fabric:secret@db.example/fabric",
]


@pytest.mark.parametrize("url", WITH_PASSWORD)
def test_no_password_is_shown(url: str) -> None:
    assert "secret" not in shown(url)
    assert "db.example" in shown(url)


@pytest.mark.parametrize("url", WITH_PASSWORD)
def test_no_complaint_shows_one(url: str) -> None:
    try:
        said = shown(str(make_engine(url).url))
    except UsageProblem as error:
        said = str(error)
    assert "secret" not in said


@pytest.mark.parametrize("url", ["sqlite:////var/lib/fabric/store.db", "nonsense", ""])
def test_what_has_none_is_shown_as_it_is(url: str) -> None:
    assert shown(url) == url


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_way_to_write_it_means_the_one_driver(scheme: str) -> None:
    assert make_engine(f"{scheme}://fabric@db.example/fabric").driver == "psycopg"


def test_what_the_url_says_of_the_connection_goes_before_ours() -> None:
    engine = make_engine("postgresql://fabric@db.example/fabric?connect_timeout=60")
    _, options = engine.dialect.create_connect_args(engine.url)
    assert options["connect_timeout"] == "60"
