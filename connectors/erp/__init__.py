"""Connectors whose systems keep the books: one folder a vendor."""
