"""How systems stand, for the governors of all workers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "system_states",
        sa.Column("system", sa.String(length=100), nullable=False),
        sa.Column("flow", sa.String(length=20), nullable=False),
        sa.Column("until_s", sa.Float(), nullable=False),
        sa.Column("since_s", sa.Float(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("probe_until_s", sa.Float(), nullable=False),
        sa.Column("free_s", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("system"),
    )


def downgrade() -> None:
    op.drop_table("system_states")
