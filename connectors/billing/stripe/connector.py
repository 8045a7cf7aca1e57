"""What this folder offers."""

from __future__ import annotations

from connectors.billing.stripe.actions import cancel_subscription, start_subscription
from connectors.billing.stripe.client import Stripe
from connectors.billing.stripe.intake import StripeIntake
from integration_fabric.connector_kit.connector import Connector
from integration_fabric.roles.billing import BILLING

STRIPE: Connector[Stripe] = Connector("stripe", BILLING, (start_subscription, cancel_subscription), StripeIntake())
