"""What this folder offers."""

from __future__ import annotations

from connectors.customer_success.gainsight.actions import close_intervention, open_intervention, start_onboarding
from connectors.customer_success.gainsight.client import Gainsight
from integration_fabric.connector_kit.connector import Connector
from integration_fabric.roles.customer_success import CUSTOMER_SUCCESS

GAINSIGHT: Connector[Gainsight] = Connector("gainsight", CUSTOMER_SUCCESS, (start_onboarding, open_intervention, close_intervention))
