"""Connectors whose systems make quotes: one folder a vendor."""
