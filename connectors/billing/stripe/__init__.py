"""Stripe (https://docs.stripe.com/api) as billing."""
