"""A billing system in the shape of Stripe's API; `vendor` builds it."""
