"""Connectors whose systems look after customers: one folder a vendor."""
