"""What the quote benchmark makes of its measurements. The measurements themselves are no part of the test suite."""

from __future__ import annotations

import json
import math
import os
from io import StringIO

import pytest
from rich.console import Console

from tests.performance.cpu_time import cores, snapshot
from tests.performance.quote_report import Measured, Steady, Sustained, as_json, make_table, percentile
from tests.performance.quotes import _options

FOUND = Measured(
    "postgresql",
    Sustained(completed=600, seconds=60.0, cores={"kafka": 0.5, "worker-erp": 0.25}, load=3.0),
    Steady(asked_per_s=20.0, took_s=[0.1 * n for n in range(1, 101)], approved=110, cores={"kafka": 0.1}, load=2.0),
)


def test_a_percentile_is_a_value_that_was_measured() -> None:
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile([3.0, 1.0, 2.0], 0.99) == 3.0
    assert percentile([5.0], 0.01) == 5.0
    assert percentile([], 0.5) == math.inf


def test_what_was_not_completed_is_told_beside_what_was() -> None:
    (found,) = as_json([FOUND], {"cores": 2})["rounds"]
    assert found["sustained"]["per_s"] == 10.0
    assert (found["steady"]["approved"], found["steady"]["completed"]) == (110, 100)
    assert (found["steady"]["p50_s"], found["steady"]["p99_s"]) == (5.0, 9.9)
    assert json.loads(json.dumps(found)) == found


def test_people_see_rate_times_and_load() -> None:
    written = StringIO()
    Console(file=written, width=200).print(make_table([FOUND]))
    for part in ("postgresql", "10.0", "5.00 s", "9.90 s", "kafka 0.50", "3.0 / 2.0"):
        assert part in written.getvalue()


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="CPU time of processes is read from Linux's /proc")  # noqa: PTH110
def test_cpu_time_is_told_apart_by_process() -> None:
    names = {"we": os.getpid(), "nobody": 2**22 + 1}
    before = snapshot(names)
    while snapshot(names)["we"] - before["we"] < 0.05:
        sum(range(10_000))
    spent = cores(before, snapshot(names), 1.0)
    assert list(spent) == ["we", "nobody"]
    assert spent["we"] >= 0.05
    assert spent["nobody"] == 0.0


def test_a_store_that_is_none_is_refused() -> None:
    with pytest.raises(SystemExit):
        _options(["--stores", "oracle"])
