"""What this folder offers."""

from __future__ import annotations

from connectors.cpq.salesforce.client import Salesforce
from connectors.cpq.salesforce.intake import SalesforceIntake
from integration_fabric.connector_kit.connector import Connector
from integration_fabric.roles.cpq import CPQ

SALESFORCE: Connector[Salesforce] = Connector("salesforce", CPQ, (), SalesforceIntake())
