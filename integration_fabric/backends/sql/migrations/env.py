"""Alembic's entry: runs in the connection, and so in the transaction, that `upgrade` hands over."""

from __future__ import annotations

from alembic import context

from integration_fabric.backends.sql.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA, transactional_ddl=False)
context.run_migrations()
