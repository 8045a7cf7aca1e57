"""Command line of the simulators: `python -m connectors.simulators --help`."""

from __future__ import annotations

import argparse
import asyncio
import os
import sqlite3
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from pydantic import ValidationError

from connectors.simulators.application import DEFAULT_WEBHOOK_SECRET, VENDORS, Options, StateInUseError
from connectors.simulators.faults import Switches, UnsuitableSwitchError, describe_problems, need_of, parse_switch
from connectors.simulators.server import listen, serve

_WRONG_USAGE = 2


def _explained(name: str) -> str:
    field, need = Switches.model_fields[name], need_of(name)
    default = field.get_default(call_default_factory=True)
    return f"  {name:<25} {field.description}{f'; for vendors with {need}' if need else ''} (default: {default})"


_EPILOG = f"""
Base URLs of the vendors on port P:
  CPQ, Salesforce-style          http://127.0.0.1:P/salesforce   Authorization: Bearer salesforce-token
  billing, Stripe-style          http://127.0.0.1:P/stripe       Authorization: Bearer stripe-token
  customer success, Gainsight-style  http://127.0.0.1:P/gainsight    AccessKey: gainsight-token
  support, Zendesk-style         http://127.0.0.1:P/zendesk      Authorization: Bearer zendesk-token
  ERP, Tryton's REST API         http://127.0.0.1:P/erp          Authorization: bearer tryton-token
Control (no credential): GET /_control/health, GET /_control, GET|PUT|DELETE /_control/VENDOR (DELETE: all faults off),
  GET /_control/VENDOR/switches (with meanings), /counts, /records?kind=K[&external_id=E], /calls[?external_id=E], /webhooks;
  POST /_control/reset[?vendor=VENDOR].
  VENDOR is one of {", ".join(VENDORS)}.
Switches, e.g. --fault stripe.error_rate=2% --fault 'stripe.renamed_fields=name:full_name'; a rate is a share from 0 to 1, or N%:
{chr(10).join(map(_explained, Switches.model_fields))}
State survives kill -9; switches and the idempotency of requests in flight do not. Exit codes: 0 ended by SIGTERM or SIGINT, 2 wrong usage.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the simulators until a signal.

    Returns:
        The exit code.
    """
    chosen = _parser().parse_args(arguments)
    try:
        options = _options(chosen)
        listener = listen(chosen.port)
    except ValueError as error:
        return _complain(str(error))
    except OSError as error:
        why = os.strerror(error.errno or 0)
        return _complain(f"cannot listen on 127.0.0.1:{chosen.port}: {why}; end what uses the port, or choose another with --port")
    try:
        asyncio.run(serve(options, listener))
    except (StateInUseError, UnsuitableSwitchError) as error:
        return _complain(str(error))
    except (OSError, sqlite3.Error) as error:
        return _complain(f"cannot use the state folder {chosen.state}: {error}; choose another with --state")
    finally:
        listener.close()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m connectors.simulators",
        description="Plays the APIs of a CPQ, a billing, a customer-success, a support and an ERP system on one port of this machine.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=int, required=True, help="port on 127.0.0.1")
    parser.add_argument("--state", type=Path, required=True, help="folder of the databases, one file a vendor; made if missing")
    parser.add_argument("--vendors", default=",".join(VENDORS), help="which to play, by comma (default: all)")
    parser.add_argument(
        "--webhook-url", action="append", default=[], metavar="[VENDOR=]URL", help="where webhooks go; without VENDOR: Salesforce's"
    )
    parser.add_argument("--webhook-secret", default=DEFAULT_WEBHOOK_SECRET, help="signs webhooks (default: %(default)s)")
    parser.add_argument("--token", action="append", default=[], metavar="VENDOR=TOKEN", help="another credential than VENDOR-token")
    parser.add_argument("--latency-ms", type=float, default=0.0, help="of every answer of every vendor (default: %(default)s)")
    parser.add_argument("--fault", action="append", default=[], metavar="VENDOR.SWITCH=VALUE", help="a switch from the start; repeatable")
    parser.add_argument("--seed", type=int, default=7, help="of the dice that decide by the rates (default: %(default)s)")
    parser.add_argument(
        "--key-memory-s", type=float, default=86_400.0, help="how long Stripe remembers an idempotency key (default: %(default)s)"
    )
    parser.add_argument("--no-landscape", action="store_true", help="leave the ERP without the demo's master data")
    return parser


def _options(chosen: argparse.Namespace) -> Options:
    vendors = tuple(name.strip() for name in chosen.vendors.split(","))
    for name in vendors:
        _known(name, "--vendors")
    changes: dict[str, dict[str, object]] = {name: {"latency_ms": chosen.latency_ms} for name in VENDORS}
    for text in chosen.fault:
        vendor, switch, value = parse_switch(text, VENDORS)
        changes[vendor][switch] = value
    for text in chosen.webhook_url:
        vendor, url = _webhook_url(text)
        changes[vendor]["webhook_url"] = url
    return Options(
        state=chosen.state,
        vendors=vendors,
        switches={name: _switches(name, each) for name, each in changes.items()},
        tokens=dict(_token(text) for text in chosen.token),
        webhook_secret=chosen.webhook_secret,
        seed=chosen.seed,
        key_memory=timedelta(seconds=chosen.key_memory_s),
        landscape=not chosen.no_landscape,
    )


def _switches(vendor: str, changes: dict[str, object]) -> Switches:
    try:
        return Switches.model_validate(changes)
    except ValidationError as error:
        raise ValueError(f"{vendor}: {describe_problems(error)}") from error


def _webhook_url(text: str) -> tuple[str, str]:
    if text.startswith(("http://", "https://")):
        return "salesforce", text
    vendor, equals, url = text.partition("=")
    if not equals or not url.startswith(("http://", "https://")):
        raise ValueError(f"--webhook-url {text}: expected http://... or VENDOR=http://...")
    return _known(vendor, "--webhook-url"), url


def _token(text: str) -> tuple[str, str]:
    vendor, equals, token = text.partition("=")
    if not equals or not token:
        raise ValueError(f"--token {text}: expected VENDOR=TOKEN")
    return _known(vendor, "--token"), token


def _known(vendor: str, option: str) -> str:
    if vendor not in VENDORS:
        raise ValueError(f"{option}: no vendor '{vendor}'; there are {', '.join(VENDORS)}")
    return vendor


def _complain(problem: str) -> int:
    print(f"simulators: {problem}", file=sys.stderr)  # noqa: T201 - the command line's voice
    return _WRONG_USAGE


if __name__ == "__main__":
    sys.exit(main())
