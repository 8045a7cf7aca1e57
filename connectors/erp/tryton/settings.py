"""How one running Tryton is reached; read from the environment by wiring, handed to the client."""

from __future__ import annotations

from datetime import timedelta

from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class TrytonSettings(BaseSettings):
    """Where the server is and how to talk to it: `FABRIC_TRYTON_URL`, `FABRIC_TRYTON_KEY` and so on."""

    model_config = SettingsConfigDict(env_prefix="FABRIC_TRYTON_", frozen=True)

    url: str
    """Address of the server without the database, e.g. `http://127.0.0.1:8000`."""
    database: str = "tryton"
    """Name of its database: the first part of every path."""
    key: SecretStr
    """Key of a user application "rest" of a user who sees every company that is worked with."""
    timeout: timedelta = timedelta(seconds=30)
    """For one call. Longer than Tryton lets a write wait for others, or outcomes are unknown more often than they must be."""
    poll_overlap: timedelta = timedelta(seconds=10)
    """How far behind the newest change polling starts again. Longer than the longest write: a change bears the time when its transaction
    began, and is seen only when that ends."""
