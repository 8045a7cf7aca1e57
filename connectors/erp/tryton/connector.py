"""What this folder offers."""

from __future__ import annotations

from connectors.erp.tryton.actions import activate_order, cancel_order, create_order, validate_quote
from connectors.erp.tryton.book_actions import apply_payment, post_invoice
from connectors.erp.tryton.erp import TrytonErp
from connectors.erp.tryton.receivable_actions import update_receivable
from integration_fabric.connector_kit.connector import Connector
from integration_fabric.roles.erp import ERP

TRYTON: Connector[TrytonErp] = Connector(
    "tryton",
    ERP,
    (validate_quote, create_order, activate_order, cancel_order, post_invoice, apply_payment, update_receivable),
)
