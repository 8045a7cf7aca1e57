"""The one table of log events, and how they are written: JSON lines on standard error, with the business keys of the message."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from integration_fabric.messages.envelope import Envelope
from integration_fabric.telemetry import metrics

SHOWN_NAMES = 8
_STORM_SETTINGS = {"in_a_row": "dead_letters_in_a_row", "share": "dead_letter_share"}
"""What to raise, by the limit that was reached."""


def set_up(*, level: str = "INFO", libraries: str = "WARNING", stream: Any = None) -> None:
    """Send structlog, and what libraries log, to one stream as JSON lines.

    Args:
        level: The lowest level that is written.
        libraries: The same for what libraries log; commands that answer in one line want none of it.
        stream: Where to; standard error if None, so that standard output stays a program's answer.
    """
    target = stream if stream is not None else sys.stderr
    shared: list[Any] = [structlog.contextvars.merge_contextvars, structlog.processors.add_log_level, _stamp]
    structlog.configure(
        processors=[*shared, structlog.processors.format_exc_info, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.PrintLoggerFactory(target),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(processor=structlog.processors.JSONRenderer(), foreign_pre_chain=[*shared, _name_library])
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.getLevelNamesMapping()[libraries])


def _stamp(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return structlog.processors.TimeStamper(fmt="iso", utc=True, key="at")(_, __, event)


def _name_library(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    record = event.get("_record")
    event["library"] = getattr(record, "name", "")
    return event


def fields(envelope: Envelope | None) -> dict[str, Any]:
    """Ids and business keys of one message, as log fields."""
    if envelope is None:
        return {}
    return {
        "message": envelope.id,
        "type": envelope.body.schema_name,
        "correlation": envelope.correlation_id,
        "position": str(envelope.position) if envelope.position else None,
        **envelope.business_keys,
    }


class Log:
    """Each method is one event; its name is the event's name."""

    @property
    def _log(self) -> Any:
        return structlog.get_logger()

    def retried(self, subscriber: str, envelope: Envelope | None, error: Exception, *, attempt: int, delay_s: float) -> None:
        """An attempt failed and is tried again in its lane."""
        metrics.RETRIES.labels(subscriber, _code(error)).inc()
        self._log.info("retried", subscriber=subscriber, attempt=attempt, delay_s=round(delay_s, 3), **_error(error), **fields(envelope))

    def waiting(self, subscriber: str, envelope: Envelope | None, error: Exception, *, waits: int, delay_s: float) -> None:
        """A lane waits for a system; written for the first wait and then for every tenth."""
        metrics.WAITS.labels(subscriber, _code(error)).inc()
        if waits % 10 == 1:
            self._log.warning("waiting", subscriber=subscriber, waits=waits, delay_s=round(delay_s, 3), **_error(error), **fields(envelope))

    def dead_lettered(self, subscriber: str, envelope: Envelope | None, *, position: str, code: str, why: str) -> None:
        """A message could not be applied and is on the dead-letter topic."""
        self._log.error("dead_lettered", subscriber=subscriber, code=code, why=why, **{**fields(envelope), "position": position})

    def stopped(self, subscriber: str, *, position: str, key: str, code: str, why: str) -> None:
        """A subscriber stands still at a dead letter."""
        remedy = f'to go on without it set at_dead_letter = "skip" under [subscribers."{subscriber}"] and start its worker again'
        self._log.error("subscriber_stopped", subscriber=subscriber, position=position, key=key, code=code, why=why, remedy=remedy)

    def system(self, system: str, *, flow: str, why: str) -> None:
        """A system is called, or is not called, as from now on."""
        if flow in {"flowing", "throttled"}:
            self._log.info("system_flow", system=system, flow=flow, why=why)
        elif flow == "refusing":
            remedy = f"correct the credential of {system} in the settings; it is asked again by itself"
            self._log.error("system_refuses_us", system=system, why=why, remedy=remedy)
        else:
            self._log.warning("system_is_not_called", system=system, flow=flow, why=why)

    def steered(self, subscriber: str, *, paused: bool, draining: bool, skips: int) -> None:
        """People's orders for a subscriber have changed."""
        self._log.info("steered", subscriber=subscriber, paused=paused, draining=draining, skips=skips)

    def redelivered(self, subscriber: str, *, number: int, partition: str) -> None:
        """A redelivery is through with a partition."""
        self._log.info("redelivered", subscriber=subscriber, number=number, partition=partition)

    def redelivery_waits(self, subscriber: str, *, partition: str, why: str) -> None:
        """A redelivery waits for the store or the broker."""
        self._log.warning("redelivery_waits", subscriber=subscriber, partition=partition, why=why)

    def storm(self, subscriber: str, limit: str, *, reached: str) -> None:
        """A subscriber stands still after too many dead letters."""
        metrics.STORMS.labels(subscriber, limit).inc()
        remedy = (
            f"look at them (`fabric dlq list --subscriber {subscriber}`), mend what they come from, then start its worker again; or raise "
            f'{_STORM_SETTINGS[limit]} under [subscribers."{subscriber}"]'
        )
        self._log.error("subscriber_stopped_by_dead_letters", subscriber=subscriber, limit=limit, reached=reached, remedy=remedy)

    def stalled(self, subscriber: str, *, is_stalled: bool, behind: int, open_count: int) -> None:
        """A subscriber has messages and none comes to an end, though nothing keeps them waiting that says so; or it goes on."""
        metrics.STALLED.labels(subscriber).set(is_stalled)
        if is_stalled:
            remedy = "a handler may hang, or a commit, or it is a defect: start its worker again, which loses and doubles nothing"
            self._log.error("subscriber_stalled", subscriber=subscriber, behind=behind, open=open_count, remedy=remedy)
        else:
            self._log.info("subscriber_goes_on", subscriber=subscriber)

    def swept(self, subscriber: str, *, transactional_id: str) -> None:
        """A committed offset stays pending though its predecessor's transaction was ended: it hangs in the broker, and is ended again."""
        self._log.warning("hanging_transaction", subscriber=subscriber, transactional_id=transactional_id)

    def held_up(self, *, topic: str, partition: int, offset: int) -> None:
        """Records cannot be read, as a transaction that nobody ends stands before them."""
        remedy = f"`kafka-transactions.sh abort --topic {topic} --partition {partition} --start-offset {offset}` ends it"
        self._log.error("transaction_hangs", topic=topic, partition=partition, offset=offset, remedy=remedy)

    def refetched(self, subscriber: str, *, partitions: list[str]) -> None:
        """The client handed out nothing of partitions that have records, or markers of transactions at their ends."""
        self._log.info("fetched_anew", subscriber=subscriber, partitions=partitions)

    def offset_map(self, subscriber: str, *, partition: str, tight: bool) -> None:
        """The map of what is done beyond a partition's base is nearly full, or has room again."""
        if tight:
            remedy = "an early message has waited for long (`fabric status`); until it is done the partition takes only what closes gaps"
            self._log.warning("offset_map_nearly_full", subscriber=subscriber, partition=partition, remedy=remedy)
        else:
            self._log.info("offset_map_has_room", subscriber=subscriber, partition=partition)

    def unknown_outcome(self, subscriber: str, envelope: Envelope, error: BaseException, *, strategy: str) -> None:
        """A call was sent and its answer did not come; it is resolved by the action's strategy."""
        self._log.warning("unknown_outcome", subscriber=subscriber, strategy=strategy, **_error(error), **fields(envelope))

    def resolved(self, subscriber: str, envelope: Envelope, *, found: bool, strategy: str) -> None:
        """An unknown outcome is known now."""
        self._log.info("outcome_resolved", subscriber=subscriber, found=found, strategy=strategy, **fields(envelope))

    def started(self, subscriber: str, **more: Any) -> None:
        """A subscriber takes part in its group."""
        self._log.info("subscriber_started", subscriber=subscriber, **more)

    def taken_over(self, subscriber: str, *, partitions: list[str], epoch: int, took_ms: float) -> None:
        """Partitions are ours, and their state is known."""
        metrics.TAKEOVERS.labels(subscriber).inc(len(partitions))
        self._log.info("taken_over", subscriber=subscriber, partitions=_few(partitions), epoch=epoch, took_ms=round(took_ms, 1))

    def handed_over(self, subscriber: str, *, partitions: list[str], lost: bool) -> None:
        """Partitions are no longer ours."""
        self._log.info("handed_over", subscriber=subscriber, partitions=_few(partitions), lost=lost)

    def commit_failed(self, subscriber: str, *, kind: str, why: str) -> None:
        """A Kafka transaction did not commit."""
        metrics.COMMIT_FAILURES.labels(subscriber, kind).inc()
        self._log.warning("commit_failed", subscriber=subscriber, kind=kind, why=why)

    def failed(self, subscriber: str, error: BaseException, *, delay_s: float) -> None:
        """A subscriber failed and is started again."""
        self._log.error("subscriber_failed", subscriber=subscriber, delay_s=delay_s, exc_info=error, **_error(error))

    def foreign_metadata(self, subscriber: str, *, partition: str) -> None:
        """A committed offset carries metadata that something else wrote; it is passed over."""
        metrics.IGNORED_METADATA.labels(subscriber).inc()
        self._log.warning("foreign_commit_metadata", subscriber=subscriber, partition=partition)

    def late(self, process: str, *, step: str, **more: Any) -> None:
        """The answer to a step did not come by its deadline."""
        metrics.LATE_STEPS.labels(process, step).inc()
        self._log.warning("step_late", process=process, step=step, **more)

    def event(self, name: str, **more: Any) -> None:
        """What a worker, gateway or poller says of itself: `worker_started`, `worker_stopped`, `polled` ..."""
        self._log.info(name, **more)

    def problem(self, name: str, **more: Any) -> None:
        """As `event`, for what somebody should look at."""
        self._log.warning(name, **more)


def _few(names: list[str]) -> list[str] | str:
    """The names, or how many there are."""
    return names if len(names) <= SHOWN_NAMES else f"{len(names)}, from {names[0]} to {names[-1]}"


def _code(error: BaseException) -> str:
    return str(getattr(error, "code", type(error).__name__))


def _error(error: BaseException) -> dict[str, str]:
    return {"code": _code(error), "error": str(error) or type(error).__name__}


LOG = Log()
