"""Which events were published, for the other payloads that tell of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "receipt_messages",
        sa.Column("message_id", sa.String(length=200), nullable=False),
        sa.Column("received_s", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("message_id"),
    )
    op.create_index("ix_receipt_messages_received", "receipt_messages", ["received_s"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_receipt_messages_received", table_name="receipt_messages")
    op.drop_table("receipt_messages")
