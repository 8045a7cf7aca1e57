"""Effects are found by where their records stood, to be pruned."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_effects_place", "effects", ["subscriber", "topic_id", "partition", "offset"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_effects_place", table_name="effects")
