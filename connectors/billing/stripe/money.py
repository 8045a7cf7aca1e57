"""Amounts as Stripe counts them: whole numbers of the currency's smallest unit. Pure and exact."""

from __future__ import annotations

from decimal import Decimal

# Stripe counts in the currency's smallest unit. Source: Stripe, "Supported currencies": zero-decimal and three-decimal currencies.
_ZERO_DECIMALS = frozenset(["BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF"])
_THREE_DECIMALS = frozenset(["BHD", "JOD", "KWD", "OMR", "TND"])


def minor_units(amount: Decimal, currency: str) -> Decimal:
    """An amount in the currency's smallest unit; exact, so it may have decimals."""
    return amount.scaleb(_exponent(currency))


def major_units(count: Decimal | int, currency: str) -> Decimal:
    """The amount of so many of the currency's smallest unit, with all its decimals: 12.50 for 1250 US cents."""
    return Decimal(count).scaleb(-_exponent(currency))


def _exponent(currency: str) -> int:
    code = currency.upper()
    return 0 if code in _ZERO_DECIMALS else 3 if code in _THREE_DECIMALS else 2
