"""Sizes, times and rates: read what people type, write what people read.

Inside the program everything is bytes and seconds. People see decimal units (1 GB = 10^9 bytes), in one choice
everywhere, and the label says which.
"""

import math
import re
from fractions import Fraction

from state.errors import UnitError

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

_FACTORS = {
    "": 1,
    "B": 1,
    "K": 10**3,
    "KB": 10**3,
    "M": 10**6,
    "MB": 10**6,
    "G": 10**9,
    "GB": 10**9,
    "T": 10**12,
    "TB": 10**12,
    "KIB": KIB,
    "MIB": MIB,
    "GIB": GIB,
    "TIB": 1024 * GIB,
}
_SIZE = re.compile(r"\s*(-?[0-9]{1,30}(?:\.[0-9]{1,30})?)\s*([A-Za-z]{0,3})\s*", re.ASCII)


def parse_size(text: str) -> int:
    """Read a positive size such as ``256MiB``, ``1.5 GB`` or ``4096``.

    Units are case-insensitive; ``MB`` is 10^6 and ``MiB`` is 2^20 bytes.

    Returns:
        The size in bytes, rounded to a whole byte, at least 1.

    Raises:
        UnitError: If the text is no size, or the size is not positive.
    """
    match = _SIZE.fullmatch(text)
    factor = _FACTORS.get(match[2].upper()) if match else None
    if match is None or factor is None:
        raise UnitError(f"{text!r} is not a size", "write a number and a unit, for example 256MiB or 1.5GB")
    size_bytes = round(Fraction(match[1]) * factor)  # exact, also beyond the 53 bits of a float
    if size_bytes < 1:
        raise UnitError(f"a size of {text.strip()!r} is not positive", "give at least one byte, for example 256MiB")
    return size_bytes


_WHOLE = re.compile(r"\s*([+-]?[0-9]{1,19})\s*", re.ASCII)


def parse_whole(text: str) -> int:
    """Read a whole number, in the digits that every program reads.

    Raises:
        UnitError: If the text is none.
    """
    match = _WHOLE.fullmatch(text)
    if match is None:
        raise UnitError(f"{text!r} is no whole number", "write the digits 0 to 9 only")
    return int(match[1])


_DURATION = re.compile(r"\s*([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*(s|min|h)?\s*", re.ASCII)
_DURATION_UNITS = {"s": 1, "min": 60, "h": 3600}


def parse_duration(text: str) -> float:
    """Read a positive time such as ``90s``, ``10min``, ``1.5h`` or ``90`` (seconds).

    Returns:
        Seconds.

    Raises:
        UnitError: If the text is no time, or the time is not positive.
    """
    match = _DURATION.fullmatch(text)
    if match is None or not float(match[1]):
        raise UnitError(f"{text!r} is no time", "write a number with s, min or h, for example 10min")
    return float(match[1]) * _DURATION_UNITS[match[2] or "s"]


def duration_argument(time_s: float) -> str:
    """Write a time exactly, as `parse_duration` reads it back: ``600s``."""
    return f"{_plain(time_s)}s"


_SHARE = re.compile(r"\s*([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*%\s*", re.ASCII)


def parse_share(text: str) -> float:
    """Read a percentage such as ``5%``.

    Returns:
        The share: 0.05.

    Raises:
        UnitError: If the text is no percentage.
    """
    match = _SHARE.fullmatch(text)
    if match is None:
        raise UnitError(f"{text!r} is no percentage", "write a number and a percent sign, for example 5%")
    return float(Fraction(match[1]) / 100)  # the nearest float of the decimal fraction, which a division may miss


def share_argument(share: float) -> str:
    """Write a share as a percentage, as `parse_share` reads it back: ``5%``."""
    return f"{_plain(100 * share)}%"


def _plain(value: float) -> str:
    """A number without an exponent, to nine digits after the point."""
    return f"{value:.9f}".rstrip("0").rstrip(".")


def size_argument(size_bytes: int) -> str:
    """Write a size exactly, as `parse_size` reads it back: ``64MiB``, ``88MB``, ``1000001``."""
    for unit in ("GiB", "GB", "MiB", "MB", "KiB", "KB"):
        if size_bytes % _FACTORS[unit.upper()] == 0:
            return f"{size_bytes // _FACTORS[unit.upper()]}{unit}"
    return str(size_bytes)


def _significant(value: float) -> str:
    """Three significant digits without an exponent: 0.0123, 1.23, 12.3, 123, 1234."""
    if value == 0:
        return "0"
    if not math.isfinite(value):
        return str(value)
    digits = max(0, 2 - math.floor(math.log10(abs(float(f"{value:.3g}")))))
    return f"{value:.{digits}f}"


def format_bytes(size_bytes: float) -> str:
    """A size for people, in decimal units: ``87.6 MB``."""
    value, unit = float(size_bytes), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(value) < 999.5 or unit == "TB":
            break
        value /= 1000
    return f"{_significant(value)} {unit}"


def format_rate(rate_bytes_per_s: float) -> str:
    """A throughput for people: ``1.41 GB/s``."""
    return f"{format_bytes(rate_bytes_per_s)}/s"


def format_seconds(time_s: float) -> str:
    """A time in seconds with three significant digits and no unit: ``0.112``, ``6.40``."""
    return _significant(time_s)


def format_duration(time_s: float) -> str:
    """A wait for people: ``0:12``, ``3:05``, ``1:02:03``."""
    minutes, seconds = divmod(round(time_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def format_factor(factor: float) -> str:
    """A ratio for people: ``x58.3``; ``x1.004`` where three digits would say that there is no difference."""
    words = _significant(factor)
    return f"x{factor:.3f}" if words == "1.00" and factor >= 1.0005 else f"x{words}"


def format_share(share: float) -> str:
    """A share as a percentage for people: ``44%``; ``0.4%`` and ``99.8%``, which are not none and all."""
    return f"{100 * share:.{_percent_digits(share)}f}%"


def format_change(share: float) -> str:
    """A change as a percentage for people: ``+98 %``, ``-100 %``, ``+99.8 %``."""
    return f"{100 * share:+.{_percent_digits(share)}f} %"


def _percent_digits(share: float) -> int:
    """How many digits after the point it takes to tell a share from none and from all; none where three do not."""
    return next((digits for digits in range(4) if abs(float(f"{100 * share:.{digits}f}")) not in (0, 100)), 0)


def counted(number: int, noun: str) -> str:
    """``1 method``, ``3 methods``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
