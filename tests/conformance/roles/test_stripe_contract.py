"""Every request of the connector is one that Stripe takes, by Stripe's own OpenAPI: the whole way of a subscription, put to stripe-mock."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from role_bench import NOW, Bench, fresh, order_line
from role_jobs import know_tax_codes, start_subscription
from stripe_mock import AlsoAsks, running_stripe_mock

from connectors.billing.stripe.changes import StripeChanges
from connectors.billing.stripe.reader import StripeReader
from connectors.billing.stripe.records import Identified
from integration_fabric.messages.errors import VendorDrift
from integration_fabric.messages.subscriptions import CancelSubscription, SubscriptionActivated

BEFORE, LATEST = "v0.162.0", "v0.203.0"
"""Of the versions that Go's proxy has: the last one before the interface that is pinned, and the latest one."""
CALLS = {
    ("GET", "/v1/charges/{id}"),
    ("GET", "/v1/customers/search"),
    ("GET", "/v1/events"),
    ("GET", "/v1/invoices"),
    ("GET", "/v1/prices"),
    ("GET", "/v1/products/{id}"),
    ("GET", "/v1/subscriptions"),
    ("GET", "/v1/subscriptions/search"),
    ("GET", "/v1/subscriptions/{id}"),
    ("GET", "/v1/tax_rates"),
    ("DELETE", "/v1/subscriptions/{id}"),
    ("POST", "/v1/customers"),
    ("POST", "/v1/customers/{id}"),
    ("POST", "/v1/invoices"),
    ("POST", "/v1/invoices/{id}/finalize"),
    ("POST", "/v1/invoices/{id}/pay"),
    ("POST", "/v1/payment_methods/{id}/attach"),
    ("POST", "/v1/prices"),
    ("POST", "/v1/products"),
    ("POST", "/v1/subscriptions"),
    ("POST", "/v1/tax_rates"),
    ("POST", "/v1/tax_rates/{id}"),
}
"""All that the connector has; that of the further lines of a long invoice is asked for below."""


@pytest.fixture(scope="module", params=[BEFORE, LATEST])
def mock(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_stripe_mock(request.param, tmp_path_factory.mktemp("stripe-mock")) as url:
        yield url


@pytest.fixture
async def billing(make_bench: Any) -> Bench:
    bench: Bench = await make_bench("stripe")
    return bench


async def test_stripe_takes_every_request(billing: Bench, mock: str) -> None:
    transport = AlsoAsks(billing.site.url, mock)
    async with billing.through(transport) as client:
        await _go_all_the_way(billing, client)

    assert transport.refused == []
    assert transport.made == CALLS


async def test_stripe_takes_the_question_for_the_lines_of_a_long_invoice(billing: Bench, mock: str) -> None:
    transport = AlsoAsks(billing.site.url, mock)
    async with billing.through(transport) as client:
        with pytest.raises(VendorDrift, match="invoices"):  # the simulator shows all lines at once, and has no such list
            await StripeChanges(client.api)._lines("in_1")

    assert transport.refused == []
    assert transport.made == {("GET", "/v1/invoices/{id}/lines")}


async def test_a_parameter_that_stripe_does_not_know_would_be_found(billing: Bench, mock: str) -> None:
    transport = AlsoAsks(billing.site.url, mock)
    async with billing.through(transport) as client:
        with pytest.raises(VendorDrift, match="colour"):
            await client.api.answer(client.api.v1.customers.create_async({"colour": "red"}), Identified)

    (refused,) = transport.refused
    assert "colour" in refused


async def _go_all_the_way(bench: Bench, client: Any) -> None:
    code, line = fresh("VAT"), order_line()
    for rate in ("0.25", "0.125"):
        await client.ensure_tax_rate(code, Decimal(rate), key=fresh("tax"))
    await know_tax_codes(bench, line.tax_code)
    invoiced = await start_subscription(bench, lines=(line.model_copy(update={"tax_code": code}), order_line(product_id=fresh("P"))))
    later = await start_subscription(bench, lines=(order_line(starts_on=(NOW() + timedelta(days=9)).date()),))
    dearer = await start_subscription(bench, lines=(line.model_copy(update={"unit_price": Decimal("40.01")}),))
    charged = await start_subscription(bench, payment_terms="CARD")
    await client.create_customer(charged.bill_to, key=fresh("key"), payment_method="pm_card_createDispute")
    for command in (invoiced, later, dearer, charged):
        assert isinstance(await bench.call(command, client=client), SubscriptionActivated)
    await client.set_payment_method(charged.bill_to, "pm_card_visa")
    assert await client.pay_invoice(await client.bill_again(charged.subscription_id))
    await StripeReader(client).invoices([charged.subscription_id])
    await _look_at_events(StripeChanges(client.api))
    cancel = CancelSubscription(subscription_id=charged.subscription_id, order_id=charged.order_id, reason="a test ends")
    await bench.call(cancel, client=client)
    (ended,) = await client.find_subscriptions(charged.subscription_id)
    await client.cancel_subscription(ended.id, reason="again")


async def _look_at_events(changes: StripeChanges) -> None:
    page = await changes.read(None)
    while page.more:
        page = await changes.read(page.cursor)
    await changes.read(page.cursor)
