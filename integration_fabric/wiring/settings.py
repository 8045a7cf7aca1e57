"""All settings, from environment variables `FABRIC_…` (nested by `__`) and a TOML file named by `FABRIC_CONFIG`."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, SecretStr, ValidationError
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from integration_fabric.backends.kafka.groups import GroupProtocol
from integration_fabric.connector_kit.ports import RECEIPTS_KEPT
from integration_fabric.delivery.governor import Limits
from integration_fabric.delivery.maintenance import Window
from integration_fabric.messages.errors import UsageProblem
from integration_fabric.runtime.bounds import Bounds
from integration_fabric.runtime.policy import AtDeadLetter

CONFIG_VARIABLE = "FABRIC_CONFIG"
LOCAL_CONFIG = Path(".fabric/fabric.toml")
"""What `fabric up` writes; used where `FABRIC_CONFIG` names no other."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class KafkaSettings(_Section):
    """How the broker is reached."""

    bootstrap: str = ""
    """`host:port`, several separated by commas."""
    security: Mapping[str, str] = Field(default_factory=dict)
    """Security settings as librdkafka names them, e.g. `security.protocol`."""
    group_protocol: GroupProtocol = GroupProtocol.CONSUMER
    """`consumer` (KIP-848, from Apache Kafka 4.0 on), `cooperative` or `eager`: how workers share partitions out."""
    replication_factor: int | None = None
    """Of topics that `topics apply` makes; by default three, or as many as there are brokers."""


class StoreSettings(_Section):
    """Where effects, leases, cross-references and processes are kept."""

    url: str = Field(default="", repr=False)
    """SQLAlchemy URL, e.g. `sqlite:////var/lib/fabric/store.db` or `postgresql+psycopg://fabric:…@host/fabric`; may hold a password."""
    remembered: timedelta = Field(default=RECEIPTS_KEPT, ge=timedelta(days=4))
    """How long a message that was handled is known again: longer than its producer may take to publish it once more (three days for
    webhooks) and its subscriber may be behind."""


class RegistrySettings(_Section):
    """Where schemas are kept."""

    url: str = ""
    """Of a Confluent-compatible registry; empty for the embedded one, which keeps them on a compacted topic."""


def _window(value: object) -> Window:
    return value if isinstance(value, Window) else Window.parse(str(value))


class SystemSettings(_Section):
    """One running system that plays a role."""

    role: str
    """erp, cpq, billing, customer-success or support."""
    vendor: str
    """Which connector speaks to it."""
    url: str
    key: SecretStr = SecretStr("")
    """Its credential."""
    database: str = "tryton"
    """Where the vendor has several on one server."""
    webhook_secret: SecretStr = SecretStr("")
    """What it signs its webhooks with."""
    legal_entities: tuple[str, ...] = ("*",)
    """Whose books it keeps; `*` for all that no other system of the role has."""
    poll_every: timedelta = timedelta(seconds=2)
    """How often it is asked for what has changed, where it does not tell."""
    answer_within: timedelta = timedelta(seconds=8)
    """For one call; shorter than the timeout of a whole command."""
    calls_per_s: float | None = Field(default=None, gt=0)
    """That it is given at the most, by all workers together."""
    concurrency: int | None = Field(default=None, ge=1)
    """Commands and polls that one worker carries out on it at once; by default as many as its subscribers do."""
    maintenance: tuple[Annotated[Window, PlainValidator(_window)], ...] = ()
    """When it is not called, e.g. `Sun 02:00-04:00` or `Mon-Fri 22:00-01:00 Europe/Oslo`."""

    @property
    def limits(self) -> Limits:
        """For its governor."""
        return Limits(self.concurrency, self.calls_per_s, self.maintenance)


class SubscriberSettings(_Section):
    """What may be set for one subscriber: fields of its `Policy`, of the same names."""

    at_dead_letter: AtDeadLetter | None = None
    in_flight: int | None = Field(default=None, ge=1, le=2000)
    max_attempts: int | None = Field(default=None, ge=1)
    retry_base: timedelta | None = Field(default=None, gt=timedelta())
    retry_cap: timedelta | None = Field(default=None, gt=timedelta())
    max_retry_time: timedelta | None = Field(default=None, gt=timedelta())
    parent_wait: timedelta | None = Field(default=None, ge=timedelta())
    dead_letters_in_a_row: int | None = Field(default=None, ge=1)
    dead_letter_window: int | None = Field(default=None, ge=1, le=100_000)
    """Outcomes; the numbers of those that are dead letters are kept in memory."""
    dead_letter_share: float | None = Field(default=None, gt=0, le=1)


class ServingSettings(_Section):
    """How a worker or gateway serves its health and metrics, or its webhooks."""

    host: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65535)
    """0 for a free one, which it announces."""
    drain: timedelta = timedelta(seconds=10)
    """For what runs when it is asked to end."""


class WorkerSettings(ServingSettings):
    """Those of a worker."""

    queued_messages: int = Field(default=Bounds().high_messages, ge=1, le=1_000_000)
    """Of one subscriber, in memory before their turn; or as many as four for each that runs at once, where these are more."""
    queued_mib: int = Field(default=Bounds().high_bytes // 2**20, ge=1, le=65_536)
    """The same in MiB."""


class Settings(BaseSettings):
    """Everything that can be set."""

    model_config = SettingsConfigDict(env_prefix="FABRIC_", env_nested_delimiter="__", frozen=True, extra="ignore", env_ignore_empty=True)

    kafka: KafkaSettings = KafkaSettings()
    store: StoreSettings = StoreSettings()
    registry: RegistrySettings = RegistrySettings()
    systems: Mapping[str, SystemSettings] = Field(default_factory=dict)
    """By name, e.g. `tryton`."""
    subscribers: Mapping[str, SubscriberSettings] = Field(default_factory=dict)
    """By name, e.g. `"tryton.create-order"`."""
    at_dead_letter: AtDeadLetter = AtDeadLetter.STOP
    """For subscribers that are not named in `subscribers`."""
    worker: WorkerSettings = WorkerSettings()
    gateway: ServingSettings = ServingSettings()
    log_level: str = "INFO"

    @classmethod
    def settings_customise_sources(  # noqa: PLR0917  the library's signature
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  the library's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003  the library's signature
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What is passed comes first, then the environment, then the file."""
        return init_settings, env_settings, InitSettingsSource(settings_cls, _from_file(config_file()))


def config_file() -> Path | None:
    """The file that settings are read from, if there is one."""
    named = os.environ.get(CONFIG_VARIABLE)
    if named:
        return Path(named)
    return LOCAL_CONFIG if LOCAL_CONFIG.exists() else None


def load(**overrides: Any) -> Settings:
    """Read all settings.

    Raises:
        UsageProblem: one line for each setting that is wrong: which, why.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        raise UsageProblem("; ".join(_line(dict(item)) for item in error.errors())) from None


def require_bootstrap(settings: Settings) -> str:
    """The broker's address. Raises UsageProblem where none is set."""
    if not settings.kafka.bootstrap:
        raise UsageProblem(
            "FABRIC_KAFKA__BOOTSTRAP is not set and no local landscape is up here: run `fabric up`, or set it to host:port of a broker"
        )
    return settings.kafka.bootstrap


def require_store(settings: Settings) -> str:
    """The store's URL. Raises UsageProblem where none is set."""
    if not settings.store.url:
        raise UsageProblem(
            "FABRIC_STORE__URL is not set and no local landscape is up here: run `fabric up`, or set it to sqlite:///FILE or postgresql+psycopg://…"
        )
    return settings.store.url


def _from_file(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise UsageProblem(f"{CONFIG_VARIABLE}={path}: there is no such file") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageProblem(f"{CONFIG_VARIABLE}={path}: {error}") from None


def _line(item: Mapping[str, Any]) -> str:
    name = "FABRIC_" + "__".join(str(part) for part in item["loc"]).upper()
    return f"{name}: {item['msg']} (is {item.get('input')!r})" if item["type"] != "missing" else f"{name} is not set"
