"""Zendesk as support: organizations, and entitlements as a custom object."""
