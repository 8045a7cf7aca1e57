"""Any registry that speaks Confluent's protocol, by URL: Confluent's own, Apicurio, Karapace."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from datetime import timedelta
from threading import Lock
from typing import TypeVar
from urllib.parse import urlsplit

from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError

from integration_fabric.messages.errors import BadCredential, ContractBroken, FabricError, Unavailable, Undecodable, UsageProblem

URL_SETTING = "FABRIC_REGISTRY__URL"
ANSWER_WITHIN = timedelta(seconds=5)
"""For one request. The client tries three times, so that a call takes 17 s at the worst."""
COMPATIBILITY = "BACKWARD_TRANSITIVE"
"""A reader with the new schema reads whatever was ever written: consumers upgrade first."""

_RETRIES = {"max.retries": 2, "retries.wait.ms": 200, "retries.max.wait.ms": 1000}
_NOT_FOUND, _UNAUTHORIZED, _FORBIDDEN, _CONFLICT, _INVALID = 404, 401, 403, 409, 422

_Answer = TypeVar("_Answer")


class ConfluentRegistry:
    """`governance.ports.SchemaRegistry` by HTTP. It judges compatibility itself, each subject's set to BACKWARD_TRANSITIVE.

    Args:
        url: Base URL, of Apicurio with `/apis/ccompat/v7`; may hold `user:password@`.
        answer_within: For one request.
    """

    def __init__(self, url: str, *, answer_within: timedelta = ANSWER_WITHIN) -> None:
        self._place = _without_credentials(url)
        try:
            self._client = SchemaRegistryClient({"url": url, "timeout": answer_within.total_seconds(), **_RETRIES})
        except (ValueError, TypeError) as error:
            raise UsageProblem(f"{URL_SETTING}: {self._place!r} is no URL of a registry; write e.g. http://127.0.0.1:8081") from error
        weakref.finalize(self, self._client.close)  # the port has no `close`: a registry is used as long as the process runs
        self._lock = Lock()
        self._guarded: set[str] = set()

    def register(self, subject: str, schema: str) -> int:
        """Add a version to a subject. Raises ContractBroken with the registry's own words where it refuses."""
        try:
            with self._lock:
                self._guard(subject)
                return self._call(lambda: self._client.register_schema(subject, Schema(schema, "AVRO")))
        except SchemaRegistryError as error:
            raise ContractBroken(f"{subject}: the registry refuses the schema: {error.error_message}") from error

    def schema(self, schema_id: int) -> str:
        """The schema with an id."""
        try:
            found = self._call(lambda: self._client.get_schema(schema_id))
        except SchemaRegistryError as error:
            raise Undecodable(f"schema id {schema_id} is not at the registry ({self._place})") from error
        return str(found.schema_str)

    def id_of(self, subject: str, schema: str) -> int | None:
        """The id of a schema; None where the subject does not have it."""
        try:
            found = self._call(lambda: self._client.lookup_schema(subject, Schema(schema, "AVRO")))
        except SchemaRegistryError:
            return None
        return found.schema_id

    def versions(self, subject: str) -> Sequence[int]:
        """Ids of the subject's versions, the oldest first."""
        try:
            versions = self._call(lambda: self._client.get_versions(subject))
            return [self._id_of_version(subject, version) for version in sorted(versions)]
        except SchemaRegistryError:
            return ()

    def subjects(self) -> Sequence[str]:
        """Every subject, sorted."""
        try:
            return sorted(self._call(self._client.get_subjects))
        except SchemaRegistryError as error:
            raise Unavailable(f"registry {self._place}: {error.error_message}") from error

    def _guard(self, subject: str) -> None:
        """Have the registry judge compatibility, whatever its default is."""
        if subject in self._guarded:
            return
        try:
            self._call(lambda: self._client.set_compatibility(subject, COMPATIBILITY))
        except SchemaRegistryError:
            # Apicurio answers 409 where another process sets it at the same moment
            if self._call(lambda: self._client.get_compatibility(subject)) != COMPATIBILITY:
                raise
        self._guarded.add(subject)

    def _id_of_version(self, subject: str, version: int) -> int:
        schema_id = self._call(lambda: self._client.get_version(subject, version)).schema_id
        if schema_id is None:
            raise Unavailable(f"registry {self._place}: {subject} version {version} has no id")
        return schema_id

    def _call(self, call: Callable[[], _Answer]) -> _Answer:
        """Call the registry. What is about this schema or subject passes as SchemaRegistryError, the rest becomes ours."""
        try:
            return call()
        except SchemaRegistryError as error:
            if error.http_status_code in {_UNAUTHORIZED, _FORBIDDEN}:
                raise BadCredential(f"{URL_SETTING}: registry {self._place} does not accept our credential") from error
            if error.http_status_code in {_NOT_FOUND, _CONFLICT, _INVALID}:
                raise
            raise Unavailable(f"registry {self._place}: {error.error_message} (HTTP {error.http_status_code})") from error
        except FabricError:
            raise
        except Exception as error:  # connections that fail, and answers that are no JSON, whichever HTTP library the client uses
            raise Unavailable(f"registry {self._place} does not answer: {error}") from error


def _without_credentials(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
