"""`runtime.ports.Publisher`: publishing from outside a subscriber."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from broker_kit import Kit

from integration_fabric.backends.avro.codec import AvroCodec
from integration_fabric.messages.envelope import Envelope
from integration_fabric.messages.errors import ContractBroken, FabricError, Unavailable
from integration_fabric.messages.ids import LegalEntity, MessageId
from integration_fabric.messages.master_data import ProductChanged, TaxCodeChanged
from integration_fabric.runtime.ports import Clock
