"""`make bench-quotes`: whole quotes, from the approval in the CPQ to entitlements and onboarding, on a real Kafka and both stores.

First as many as go through with a fixed number open; then twenty a second, and how long each takes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from integration_fabric.local.errors import LocalError
from integration_fabric.runtime.clock import SystemClock
from integration_fabric.wiring.local_store import Store
from tests.performance.bench import machine
from tests.performance.contenders import ROOT
from tests.performance.quote_load import quote_load
from tests.performance.quote_report import Measured, as_json, make_table

FAILED = 2
LATENCY_MS = 5.0

_people = Console(stderr=True, highlight=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it.

    Returns:
        0, or 2 where something could not be started. Whether aims are met is for people to look at.
    """
    options = _options(arguments)
    found = []
    try:
        for number in range(1, options.rounds + 1):
            for store in options.stores:
                _people.print(f"round {number}, store on {store}: starting everything ...")
                found.append(asyncio.run(_measure(Store(store), options)))
    except LocalError as error:
        _people.print(f"bench-quotes: {error}")
        return FAILED
    Console(width=max(140, Console().width)).print(make_table(found))
    path = options.json or ROOT / ".fabric" / "bench" / f"quotes-{SystemClock().now():%Y%m%dT%H%M%SZ}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(as_json(found, machine()), indent=2) + "\n")
    _people.print(f"written to {path}")
    return 0


async def _measure(store: Store, options: argparse.Namespace) -> Measured:
    measuring = asyncio.current_task()
    assert measuring is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, measuring.cancel)  # so that nothing is left running
    with TemporaryDirectory(prefix="fabric-quotes-") as folder:
        async with quote_load(Path(folder), store, latency_ms=LATENCY_MS) as load:
            steady = await load.go_steadily(per_s=options.rate, warm_up_s=options.warm_up, seconds=options.seconds)
            _people.print(
                f"{store}: {steady.completed} of {steady.approved} at {options.rate:g} a second: "
                f"p50 {steady.percentile(0.5):.2f} s, p99 {steady.percentile(0.99):.2f} s"
            )
            sustained = await load.sustain(in_flight=options.in_flight, warm_up_s=options.warm_up, seconds=options.seconds)
            _people.print(f"{store}: {sustained.per_s:.1f} quotes a second over {sustained.seconds:.0f} s")
    return Measured(store, sustained, steady)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench-quotes", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--stores", type=lambda text: text.split(","), default=[*Store], help="by comma (default: both)")
    parser.add_argument("--rounds", type=int, default=1, help="of each store, in turn (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=60.0, help="measured, of either kind (default: %(default)s)")
    parser.add_argument("--warm-up", type=float, default=15.0, help="seconds before (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=20.0, help="quotes a second at the steady rate (default: %(default)s)")
    parser.add_argument("--in-flight", type=int, default=200, help="open at any time at full rate (default: %(default)s)")
    parser.add_argument("--json", type=Path, default=None, help="where the document goes; .fabric/bench/quotes-<time>.json by default")
    options = parser.parse_args(arguments)
    if unknown := set(options.stores) - set(Store):
        parser.error(f"--stores: {', '.join(sorted(unknown))} is none; name some of {', '.join(Store)}")
    return options


if __name__ == "__main__":
    sys.exit(main())
