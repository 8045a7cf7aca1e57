# mypy: ignore-errors
# Because it runs in localstripe's own virtual environment: localstripe, which it imports, is not in ours, and is untyped.
# ruff: noqa: ANN001, ANN003, ANN201, ANN202 -- it patches classes that have no types
# ruff: noqa: SLF001 -- and reaches for their inner parts
"""Serves localstripe on the loopback address; `integration_fabric.local.localstripe` runs it with the Python of localstripe's environment.

It imports nothing of the fabric. localstripe as it is would not do; patched here, openly, towards what Stripe itself does:

- Every write is durable before it is answered, in a file of SQLite's of its own. localstripe pickles its whole store to one fixed path at
  each write, which takes longer the more there is. Neither SIGTERM nor kill -9 loses anything that was answered.
- A subscription has as many items as are given (localstripe: one, else 500); metered ones charge nothing in advance; one that begins
  later is `trialing`; periods of several months are so long, and each invoice has the next one (localstripe: all have the first one).
- A payer without a card is refused, and so is a declined card where the payment must not fail, before anything is written (localstripe
  leaves half a subscription). A later payment that fails is answered 402, counted, and told (localstripe: 200, and no event).
- Invoices can be finalised, and `invoice.finalized` and `invoice.paid` are told. A hundred lines of an invoice are shown, not ten.
- Webhooks are registered by arguments, go out at once, signed at that moment, several times if need be, also after a restart.

Still not as Stripe is: idempotency keys are ignored, there are no prices, no search, no `send_invoice`, no disputes.
"""

import argparse
import asyncio
import contextlib
import hashlib
import hmac
import io
import json
import pickle
import sqlite3
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
from aiohttp import web
from dateutil.relativedelta import relativedelta
from localstripe import resources
from localstripe.errors import UserError
from localstripe.resources import (
    Customer,
    Event,
    Invoice,
    PaymentIntent,
    PaymentMethod,
    Plan,
    Store,
    StripeObject,
    Subscription,
    SubscriptionItem,
    TaxRate,
)

HOST = "127.0.0.1"
SHOWN_LINES = 100
ATTEMPTS = 12
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 30.0
ANSWER_WITHIN_S = 10.0
TABLES = """
CREATE TABLE IF NOT EXISTS objects (position INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS untold (event TEXT PRIMARY KEY);
"""


# The store, object by object


class ObjectFile:
    """Where the objects are kept: each by itself, with others that stand in the store named by their keys."""

    def __init__(self, path) -> None:
        # What is committed survives kill -9 of this process: it is with the operating system by then.
        self.db = sqlite3.connect(path, isolation_level=None)
        self.db.execute("PRAGMA journal_mode = WAL")
        self.db.execute("PRAGMA synchronous = NORMAL")
        self.db.executescript(TABLES)
        # in order: new objects must lie in the file as they lie in the store
        self.touched, self.untold = {}, []

    def load(self, store):
        """Fill an empty store, in the order in which its objects were made."""
        rows = self.db.execute("SELECT key, body FROM objects ORDER BY position").fetchall()
        bodies, loaded = dict(rows), {}

        def found(key):
            if key not in loaded:
                reader = pickle.Unpickler(io.BytesIO(bodies[key]))  # noqa: S301 -- our own file
                reader.persistent_load = found
                loaded[key] = reader.load()
            return loaded[key]

        for key, _ in rows:
            dict.__setitem__(store, key, found(key))

    def save(self, store):
        """Write what was touched since the last time, all of it or nothing."""
        self.db.execute("BEGIN IMMEDIATE")
        for key in self.touched:
            if key in store:
                self._write(store, key)
            else:
                self.db.execute("DELETE FROM objects WHERE key = ?", (key,))
        self.db.executemany("INSERT OR IGNORE INTO untold VALUES (?)", [(event,) for event in self.untold])
        self.db.execute("COMMIT")
        self.touched.clear()
        self.untold.clear()

    def _write(self, store, key):
        root = dict.get(store, key)
        body = io.BytesIO()
        writer = pickle.Pickler(body, protocol=pickle.HIGHEST_PROTOCOL)

        def name(value):
            if value is root or not isinstance(value, StripeObject) or getattr(value, "id", None) is None:
                return None
            named = f"{value.object}:{value.id}"
            return named if dict.get(store, named) is value else None

        writer.persistent_id = name
        writer.dump(root)
        upsert = "INSERT INTO objects (key, body) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET body = excluded.body"
        self.db.execute(upsert, (key, body.getvalue()))

    def told(self, event):
        """An event was taken, or is given up."""
        self.db.execute("DELETE FROM untold WHERE event = ?", (event,))

    def forget_all(self):
        """As at the very start."""
        self.db.executescript("DELETE FROM objects; DELETE FROM untold;")
        self.touched.clear()
        self.untold.clear()


def keep_in(file):
    """Have the store of localstripe write to a file, what a request has touched at its end."""

    def set_item(store, key, value):
        dict.__setitem__(store, key, value)
        file.touched[key] = True

    def delete_item(store, key):
        dict.__delitem__(store, key)
        file.touched[key] = True

    def get(store, key, default=None):
        # whoever asks for an object may change it
        if key in store:
            file.touched[key] = True
        return dict.get(store, key, default)

    def items(store):
        # pending items are changed where they were found by listing
        file.touched.update((key, True) for key in store if key.startswith("invoiceitem:"))
        return dict.items(store)

    def clear(store):
        dict.clear(store)
        file.forget_all()

    def dump_to_disk(store):
        file.save(store)

    Store.dump_to_disk = dump_to_disk
    Store.__setitem__, Store.__delitem__, Store.get, Store.items, Store.clear = set_item, delete_item, get, items, clear
    file.load(resources.store)


# Periods and amounts


def period_of(item):
    """The period that is charged now, of as many months or years as the plan says."""
    subscription = Subscription._api_retrieve(item._subscription) if item._subscription else None
    start = int(time.time())
    if subscription is not None:
        start = getattr(subscription, "_period_start", None) or max(subscription.start_date, subscription.trial_end or 0)
    step = relativedelta(**{f"{item.plan.interval}s": item.plan.interval_count})
    return {"start": start, "end": int((datetime.fromtimestamp(start, UTC) + step).timestamp())}


def amount_of(item, original=SubscriptionItem._calculate_amount):
    """Nothing for usage that nobody has reported."""
    return 0 if item.plan.usage_type == "metered" else original(item)


def is_charged(item):
    """Whether an item costs something in advance."""
    return item._calculate_amount() > 0


# Subscriptions


def make_subscription(self, items=None, customer=None, original=Subscription.__init__, **data):
    """As localstripe makes one, with every item; refused before anything is written where its first payment cannot be made."""
    items = list(items or [])
    given = [(Plan._api_retrieve(item.get("plan")), item) for item in items]
    for item in items:
        for rate in item.get("tax_rates", []):
            TaxRate._api_retrieve(rate)
    if data.get("trial_end") is None and any(plan.usage_type != "metered" and plan.amount for plan, _ in given):
        refuse_unpayable(Customer._api_retrieve(customer), must_not_fail=data.get("payment_behavior") == "error_if_incomplete")
    self._others = items[:-1]
    original(self, items=items[-1:], customer=customer, **data)
    if self.trial_end is not None:
        self.status = "trialing"


def make_item(self, subscription=None, original=SubscriptionItem.__init__, **item):
    """The last item of a subscription that is being made brings the others with it, before itself."""
    made = dict.get(resources.store, f"subscription:{subscription}")
    for other in made.__dict__.pop("_others", ()) if made else ():
        made.items._list.append(SubscriptionItem(subscription=subscription, **other))
    original(self, subscription=subscription, **item)


def refuse_unpayable(customer, *, must_not_fail):
    """400 where there is no card, as Stripe says it; 402 where it is declined and that must not be."""
    method = customer._get_default_payment_method_or_source()
    if method is None:
        message = "This customer has no attached payment source or default payment method."
        raise UserError(400, message, {"code": "resource_missing"})
    if must_not_fail and method._charging_is_declined():
        raise UserError(402, "Your card was declined.", {"code": "card_declined", "param": "default_payment_method"})


def bill_first_period(self):
    """The first invoice, collected at once; none where nothing is charged in advance."""
    if not any(map(is_charged, self.items._list)):
        self.status = "active"
        return
    invoice = Invoice(
        customer=self.customer,
        subscription=self.id,
        items=list(self.items._list),
        tax_percent=self.tax_percent,
        default_tax_rates=[rate.id for rate in self.default_tax_rates or []],
        date=self.current_period_start,
    )
    invoice._finalize()
    collect(invoice)


# Invoices


def make_invoice(self, items=(), original=Invoice.__init__, **data):
    """Without what is charged by usage, not yet attempted, and shown with all its lines."""
    original(self, items=[item for item in items if not isinstance(item, SubscriptionItem) or item.plan.usage_type != "metered"], **data)
    self.attempt_count, self.attempted = 0, False
    self.lines._limit = SHOWN_LINES


def bill_next_period(cls, customer=None, subscription=None, original=Invoice._api_create.__func__, **data):
    """`POST /v1/invoices`: on Stripe's own servers it is time that moves the period on."""
    billed = Subscription._api_retrieve(subscription) if subscription else None
    if billed is not None and billed.latest_invoice:
        billed._period_start = billed.current_period_end
    return original(cls, customer=customer, subscription=subscription, **data)


def finalise(self, original=Invoice._finalize):
    """Tell of it, too."""
    original(self)
    resources.schedule_webhook(Event("invoice.finalized", self))


def finalise_invoice(id=None, auto_advance=None):  # noqa: A002, ARG001 -- parameters of the interface
    """`POST /v1/invoices/<id>/finalize`: nobody collects it by itself."""
    invoice = Invoice._api_retrieve(id)
    if invoice.status != "draft":
        raise UserError(400, "This invoice is already finalized", {"code": "invoice_not_editable"})
    invoice._finalize()
    return invoice


def pay_invoice(id=None, payment_method=None):  # noqa: A002 -- as above
    """`POST /v1/invoices/<id>/pay`."""
    invoice = Invoice._api_retrieve(id)
    if invoice.status == "draft":
        invoice._finalize()
    if invoice.status != "open":
        raise UserError(400, f"Invoice is {invoice.status}", {"code": "invoice_not_editable"})
    if payment_method is None:
        refuse_unpayable(Customer._api_retrieve(invoice.customer), must_not_fail=False)
    if not collect(invoice, payment_method):
        raise UserError(402, "Your card was declined.", {"code": "card_declined"})
    return invoice


def collect(invoice, payment_method=None):
    """Try to collect an open invoice; returns whether it is paid. Either is told."""
    customer = Customer._api_retrieve(invoice.customer)
    method = PaymentMethod._api_retrieve(payment_method) if payment_method else customer._get_default_payment_method_or_source()
    intent = PaymentIntent(amount=invoice.total, currency=invoice.currency, customer=invoice.customer, payment_method=method.id)
    invoice.payment_intent, intent.invoice = intent.id, invoice.id
    invoice.attempt_count, invoice.attempted = invoice.attempt_count + 1, True
    intent._confirm(on_failure_now=lambda: None)
    if invoice.status == "paid":
        return True
    resources.schedule_webhook(Event("invoice.payment_failed", invoice))
    if invoice.subscription:
        subscription = Subscription._api_retrieve(invoice.subscription)
        if subscription.status != "incomplete":
            subscription.status = "past_due"
    return False


def pay(self, original=Invoice._on_payment_success):
    """Tell of it under its other name, too."""
    resources.schedule_webhook(Event("invoice.paid", self))
    original(self)


# Webhooks


class Courier:
    """Sends each event to one address until it is taken; several at once, in no order, as Stripe does."""

    def __init__(self, file, url, secret) -> None:
        self._file, self._url, self._secret, self._under_way = file, url, secret, set()

    def schedule(self, event):
        """Send an event; noted in the file with whatever else its request has changed."""
        if self._url:
            self._file.untold.append(event.id)
            self._start(event.id, json.dumps(event._export(), sort_keys=True).encode())

    async def run(self, _app):
        """Go on with what an earlier run did not bring through."""
        rows = self._file.db.execute("SELECT event FROM untold").fetchall() if self._url else ()
        for (event,) in rows:
            found = dict.get(resources.store, f"event:{event}")
            if found is not None:
                self._start(event, json.dumps(found._export(), sort_keys=True).encode())
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWER_WITHIN_S)) as self._session:
            yield
            for task in self._under_way:
                task.cancel()

    def _start(self, event, payload):
        task = asyncio.get_running_loop().create_task(self._bring(event, payload))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _bring(self, event, payload):
        for attempt in range(ATTEMPTS):
            if await self._post(payload):
                break
            await asyncio.sleep(min(FIRST_PAUSE_S * 2**attempt, LONGEST_PAUSE_S))
        self._file.told(event)

    async def _post(self, payload):
        at = int(time.time())
        signature = hmac.new(self._secret.encode(), b"%d.%s" % (at, payload), hashlib.sha256).hexdigest()
        headers = {"Content-Type": "application/json; charset=utf-8", "Stripe-Signature": f"t={at},v1={signature}"}
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            async with self._session.post(self._url, data=payload, headers=headers, allow_redirects=False) as response:
                return response.status // 100 == 2  # noqa: PLR2004 -- as in HTTP
        return False


def patch(courier):
    """Put everything above in its place."""
    SubscriptionItem.__init__ = make_item
    SubscriptionItem._current_period, SubscriptionItem._calculate_amount = period_of, amount_of
    Subscription.__init__, Subscription._create_invoice = make_subscription, bill_first_period
    Invoice.__init__, Invoice._finalize, Invoice._on_payment_success = make_invoice, finalise, pay
    Invoice._api_create = classmethod(bill_next_period)
    resources.schedule_webhook = courier.schedule
    resources.extra_apis[:] = [api for api in resources.extra_apis if api[1] != "/v1/invoices/{id}/pay"]
    resources.extra_apis += [
        ("POST", "/v1/invoices/{id}/pay", pay_invoice),
        ("POST", "/v1/invoices/{id}/finalize", finalise_invoice),
    ]


def main():
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description="localstripe, kept in a file")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--webhook-url", default="")
    parser.add_argument("--webhook-secret", default="")
    parser.add_argument("data", type=Path, help="the file that keeps it all")
    chosen = parser.parse_args()
    file = ObjectFile(chosen.data)
    keep_in(file)
    courier = Courier(file, chosen.webhook_url, chosen.webhook_secret)
    patch(courier)
    from localstripe import server  # noqa: PLC0415 -- it makes its routes of what was patched

    server.app.cleanup_ctx.append(courier.run)
    web.run_app(server.app, host=HOST, port=chosen.port, access_log=None, print=None)


if __name__ == "__main__":
    sys.exit(main())
