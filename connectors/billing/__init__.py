"""Connectors whose systems charge: one folder a vendor."""
