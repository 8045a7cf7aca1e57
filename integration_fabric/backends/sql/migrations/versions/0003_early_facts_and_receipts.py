"""Facts that came before their instance, and receipts of webhooks."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "process_early",
        sa.Column("process", sa.String(length=100), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("message_id", sa.String(length=200), nullable=False),
        sa.Column("kept_s", sa.Float(), nullable=False),
        sa.Column("until_s", sa.Float(), nullable=False),
        sa.Column("schema_name", sa.String(length=200), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("process", "key", "message_id"),
    )
    op.create_index("ix_process_early_until", "process_early", ["process", "until_s"], unique=False)
    op.create_table(
        "receipts",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("system", sa.String(length=100), nullable=False),
        sa.Column("received_s", sa.Float(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("messages", sa.Text(), nullable=False),
        sa.Column("code", sa.String(length=200), nullable=False),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_receipts_received", "receipts", ["received_s"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_receipts_received", table_name="receipts")
    op.drop_table("receipts")
    op.drop_index("ix_process_early_until", table_name="process_early")
    op.drop_table("process_early")
