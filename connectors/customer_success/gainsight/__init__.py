"""Gainsight as customer success: companies and calls to action (CTAs)."""
