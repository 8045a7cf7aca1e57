"""Connectors whose systems answer cases: one folder a vendor."""
