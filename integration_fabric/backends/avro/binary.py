"""Single values to Avro binary and back (Avro specification, "Binary Encoding"). What the generated encoders and decoders call.

Readers take a buffer and a position, and return the value and the position behind it. They are strict: a length that is negative is a
ValueError, and a position beyond the end an IndexError sooner or later, as every record is checked to end where its bytes end.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Context, Decimal, Inexact, InvalidOperation
from functools import lru_cache
from struct import Struct

DECIMAL_SCALE = 4
DECIMAL_PRECISION = 18
DECIMALS = Context(prec=DECIMAL_PRECISION, traps=[Inexact, InvalidOperation])
"""Decimals that do not fit are refused, never rounded. One context for all threads: only its flags change, and nobody reads them."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EPOCH_ORDINAL = 719163
"""`date(1970, 1, 1).toordinal()`."""

_QUANTUM = Decimal(1).scaleb(-DECIMAL_SCALE)
_UNSCALED_LIMIT = 10**DECIMAL_PRECISION
_OLDEST_MICROS = (datetime.min.replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)
_NEWEST_MICROS = (datetime.max.replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)
_INT_LIMIT = 2**31
_LONG_LIMIT = 2**63
_MORE = 0x80
"""The bit of a byte that says that another follows."""
_BOTH_MORE = _MORE << 8 | _MORE
_MAX_VARINT_BYTES = 10
_double = Struct("<d")
_two_pairs = Struct("<HH")


def _encode_unsigned(number: int) -> bytes:
    out = bytearray()
    while number >= _MORE:
        out.append(number & 0x7F | _MORE)
        number >>= 7
    out.append(number)
    return bytes(out)


class _Lengths(dict[int, bytes]):
    """Encoded lengths. The usual ones are there, others are made each time, so that it does not grow."""

    def __missing__(self, length: int) -> bytes:
        return _encode_unsigned(length << 1)


SHORT_LENGTHS = tuple(-1 if byte & 1 or byte >= _MORE else byte >> 1 for byte in range(256))
"""What a byte says as a length: -1 where it is not the whole of one, or a negative one."""
LENGTHS: Mapping[int, bytes] = _Lengths({length: _encode_unsigned(length << 1) for length in range(1024)})
_PAIR_BITS = 14
"""Numbers are written two bytes at a time, from tables."""
_PAIRS = tuple(_encode_unsigned(number | 1 << _PAIR_BITS)[:2] for number in range(1 << _PAIR_BITS))
"""Two bytes of a longer number, both with the bit that another follows."""
_ENDS = tuple(_encode_unsigned(number) for number in range(1 << _PAIR_BITS))
"""The last one or two bytes of a number."""
_PAIR = (1 << _PAIR_BITS) - 1


def read_long(buffer: bytes, at: int) -> tuple[int, int]:
    """A long: variable length, zig-zag."""
    byte = buffer[at]
    if byte < _MORE:
        return (byte >> 1) ^ -(byte & 1), at + 1
    number, shift, start = byte & 0x7F, 7, at
    while byte >= _MORE:
        at += 1
        byte = buffer[at]
        number |= (byte & 0x7F) << shift
        shift += 7
    if at - start >= _MAX_VARINT_BYTES or number >> 64:
        raise ValueError("a number of more than 64 bits")
    return (number >> 1) ^ -(number & 1), at + 1


def read_int(buffer: bytes, at: int) -> tuple[int, int]:
    """An int: as a long, but of 32 bits."""
    number, at = read_long(buffer, at)
    if not -_INT_LIMIT <= number < _INT_LIMIT:
        raise ValueError("an int of more than 32 bits")
    return number, at


def read_length(buffer: bytes, at: int) -> tuple[int, int]:
    """How many bytes follow, or which symbol or branch it is."""
    length, at = read_long(buffer, at)
    if length < 0:
        raise ValueError("a negative length")
    return length, at


def read_count(buffer: bytes, at: int) -> tuple[int, int]:
    """How many items the next block of an array or map has; 0 at its end."""
    count, at = read_long(buffer, at)
    if count < 0:
        _, at = read_length(buffer, at)
    if abs(count) > len(buffer) - at:
        raise ValueError("more items than bytes")
    return abs(count), at


def read_boolean(buffer: bytes, at: int) -> tuple[bool, int]:
    """A boolean."""
    byte = buffer[at]
    if byte > 1:
        raise ValueError("a boolean that is neither 0 nor 1")
    return byte == 1, at + 1


def read_double(buffer: bytes, at: int) -> tuple[float, int]:
    """A double."""
    return _double.unpack(buffer[at : at + 8])[0], at + 8


def read_bytes(buffer: bytes, at: int) -> tuple[bytes, int]:
    """Bytes."""
    length, at = read_length(buffer, at)
    return buffer[at : at + length], at + length


def read_string(buffer: bytes, at: int) -> tuple[str, int]:
    """A string."""
    length, at = read_length(buffer, at)
    return buffer[at : at + length].decode(), at + length


def read_decimal(buffer: bytes, at: int) -> tuple[Decimal, int]:
    """A decimal(18,4)."""
    length = SHORT_LENGTHS[buffer[at]]
    if length < 1:
        raise ValueError("a decimal of no bytes or more than 63")
    at += 1
    return _decimal(buffer[at : at + length]), at + length


def read_timestamp(buffer: bytes, at: int) -> tuple[datetime, int]:
    """A timestamp-micros, in UTC. Those from 1979 to 3111 have eight bytes, of which the second half is the same for minutes."""
    upper = _last_four(buffer[at + 4 : at + 8])
    if upper >= 0:
        first, second = _two_pairs.unpack_from(buffer, at)
        if first & second & _BOTH_MORE == _BOTH_MORE:
            unsigned = first & 0x7F | first >> 1 & 0x3F80 | (second & 0x7F | second >> 1 & 0x3F80) << 14 | upper
            return EPOCH + timedelta(0, 0, (unsigned >> 1) ^ -(unsigned & 1)), at + 8
    micros, at = read_long(buffer, at)
    return EPOCH + timedelta(0, 0, micros), at


@lru_cache(maxsize=4096)
def _last_four(ending: bytes) -> int:
    """What the last four bytes of eight stand for; -1 where the number ends before or behind them."""
    if len(ending) != 4 or ending[3] >= _MORE or any(byte < _MORE for byte in ending[:3]):  # noqa: PLR2004  the four of the name
        return -1
    return sum((byte & 0x7F) << 7 * place for place, byte in enumerate(ending, 4))


def read_date(buffer: bytes, at: int) -> tuple[date, int]:
    """A date."""
    days, at = read_int(buffer, at)
    return _date(days), at


@lru_cache(maxsize=4096)
def _decimal(unscaled: bytes) -> Decimal:
    """Cached, as prices and quantities come again and again, and making one takes five times as long as finding it."""
    number = int.from_bytes(unscaled, "big", signed=True)
    if not -_UNSCALED_LIMIT < number < _UNSCALED_LIMIT:
        raise ValueError("a decimal of more than 18 digits")
    return Decimal(number).scaleb(-DECIMAL_SCALE, DECIMALS)


@lru_cache(maxsize=4096)
def _date(days: int) -> date:
    return date.fromordinal(days + EPOCH_ORDINAL)


def write_long(number: int) -> bytes:
    """A long. Raises ValueError where it is none; a bool is none."""
    if number.__class__ is not int or not -_LONG_LIMIT <= number < _LONG_LIMIT:
        raise ValueError("not a whole number of 64 bits")
    return _long(number)


def write_int(number: int) -> bytes:
    """An int. Raises ValueError where it is none."""
    if number.__class__ is not int or not -_INT_LIMIT <= number < _INT_LIMIT:
        raise ValueError("not a whole number of 32 bits")
    return _long(number)


def _long(number: int) -> bytes:
    unsigned = (number << 1) ^ (number >> 63)
    if unsigned <= _PAIR:
        return _ENDS[unsigned]
    higher = unsigned >> _PAIR_BITS
    if higher <= _PAIR:
        return _PAIRS[unsigned & _PAIR] + _ENDS[higher]
    return _PAIRS[unsigned & _PAIR] + _PAIRS[higher & _PAIR] + _upper(higher >> _PAIR_BITS)


@lru_cache(maxsize=4096)
def _upper(number: int) -> bytes:
    """Cached, as those of timestamps stay the same for minutes."""
    return _encode_unsigned(number)


def write_boolean(value: object) -> bytes:
    """A boolean. Raises ValueError where it is none."""
    if value is True:
        return b"\1"
    if value is False:
        return b"\0"
    raise ValueError("neither true nor false")


def write_double(value: float) -> bytes:
    """A double. Raises ValueError where it is no number."""
    if value.__class__ is not float and value.__class__ is not int:
        raise ValueError("not a number")
    return _double.pack(value)


def write_bytes(value: bytes) -> bytes:
    """Bytes. Raises ValueError where it is something else."""
    if value.__class__ is not bytes:
        raise ValueError("not bytes")
    return LENGTHS[len(value)] + value


def write_string(text: str) -> bytes:
    """A string. Raises ValueError where it is something else, or holds half a surrogate pair."""
    if not isinstance(text, str):
        raise ValueError("not a string")  # noqa: TRY004 - a value that breaks its schema is one kind of error here
    encoded = text.encode()
    return LENGTHS[len(encoded)] + encoded


@lru_cache(maxsize=4096, typed=True)  # typed: an int that equals a decimal is none
def write_decimal(value: Decimal) -> bytes:
    """A decimal(18,4), cached as in reading.

    Raises Inexact or InvalidOperation, ArithmeticErrors both, where it does not fit exactly; ValueError for NaN.
    """
    unscaled = int(value.quantize(_QUANTUM, None, DECIMALS).scaleb(DECIMAL_SCALE, DECIMALS))
    size = (unscaled.bit_length() >> 3) + 1
    return LENGTHS[size] + unscaled.to_bytes(size, "big", signed=True)


def write_timestamp(value: datetime) -> bytes:
    """A timestamp-micros. Raises TypeError where it has no time zone, ValueError where UTC has no such year."""
    since = value - EPOCH
    micros = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    if not _OLDEST_MICROS <= micros <= _NEWEST_MICROS:
        raise ValueError("a time before the year 1 or after 9999 in UTC")
    return write_long(micros)


def write_date(value: date) -> bytes:
    """A date. Raises ValueError where it is something else."""
    if value.__class__ is not date:
        raise ValueError("not a date")
    return _long(value.toordinal() - EPOCH_ORDINAL)
