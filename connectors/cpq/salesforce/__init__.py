"""Salesforce CPQ as the CPQ."""
