"""Durations as Prometheus writes them."""

import fractions
import re

UNITS = {"w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1, "ms": fractions.Fraction(1, 1000)}


def seconds(text):
    parts = re.findall(r"(\d+)(ms|[wdhms])", text)
    if not parts or "".join(n + u for n, u in parts) != text:
        raise ValueError(f"not a duration: {text!r}")
    return sum(int(n) * UNITS[u] for n, u in parts)


def duration(value):
    """The shortest exact text in one unit: 90 -> 90s, 3600 -> 1h, 30 days -> 30d (never weeks: 30d stays readable)."""
    for unit in ("d", "h", "m", "s", "ms"):
        count = fractions.Fraction(value) / UNITS[unit]
        if count.denominator == 1 and count > 0:
            return f"{count}{unit}"
    raise ValueError(f"{value} seconds are no whole number of milliseconds; take another scale")


def plus(one, other):
    """The sum of two: 2h and 10m are 130m."""
    return duration(seconds(one) + seconds(other))
