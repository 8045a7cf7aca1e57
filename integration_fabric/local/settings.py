"""Where local services keep their state and downloads, and which port Kafka must have; alone in this package it reads the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

KAFKA_PORT_SETTING = "FABRIC_LOCAL_KAFKA_PORT"


def environment(**extra: str) -> Mapping[str, str]:
    """This process's environment with some more in it: what a child process is given."""
    return {**os.environ, **extra}


def _downloads() -> Path:
    """The user's cache folder, by the XDG base directory specification (which says to ignore a relative one)."""
    named = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (named if named.is_absolute() else Path("~/.cache")) / "integration-fabric"


def _absolute(path: Path) -> Path:
    """Settled once, so that a later change of directory moves nothing."""
    return path.expanduser().absolute()


Folder = Annotated[Path, AfterValidator(_absolute)]


class LocalSettings(BaseSettings):
    """What a developer may choose about local services.

    Attributes:
        state_dir: State, data and logs of this checkout's services; relative to the current directory.
        kafka_port: The port that Kafka must listen on; unset, a free one is chosen and kept.
        cache_dir: Downloads, shared by all checkouts.
    """

    model_config = SettingsConfigDict(env_prefix="FABRIC_LOCAL_", frozen=True, env_ignore_empty=True, validate_default=True)

    state_dir: Folder = Path(".fabric")
    kafka_port: int | None = Field(default=None, ge=1, le=65535)
    cache_dir: Folder = Field(default_factory=_downloads)
