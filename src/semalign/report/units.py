"""Numbers as people read them: percent, points, bits per byte, counts, seconds, bytes."""

from .record import Number, known

MISSING = "–"


def percent(value: Number) -> str:
    """A share in [0, 1] as percent with one decimal, without the sign."""
    return _signed(100 * value, ".1f") if known(value) else MISSING


def points(value: Number) -> str:
    """A difference of shares as percentage points, always signed; a second decimal below one point."""
    if not known(value):
        return MISSING
    return _signed(100 * value, "+.1f" if abs(100 * value) >= 1 or value == 0 else "+.2f")


def decimal(value: Number, digits: int = 3) -> str:
    return _signed(value, f".{digits}f") if known(value) else MISSING


def count(value: Number) -> str:
    return _signed(value, ",.0f") if known(value) else MISSING


def significant(value: Number) -> str:
    """A number of unknown size with four digits."""
    return _signed(value, ",.4g") if known(value) else MISSING


def span(low: str, high: str) -> str:
    """An interval, with a word between signed ends so that no dash is read as a minus; empty where it is unknown."""
    if MISSING in (low, high):
        return ""
    return f"{low} to {high}" if set("+−") & set(low + high) else f"{low}–{high}"


def seconds(value: Number) -> str:
    if not known(value):
        return MISSING
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def memory(value: Number) -> str:
    if not known(value):
        return MISSING
    return f"{value / 2**30:.2f} GiB" if value >= 2**30 else f"{value / 2**20:.0f} MiB"


def _signed(value: float | int, form: str) -> str:
    """Formatted with the typographic minus, and no minus before a zero."""
    text = format(value, form)
    if text.strip("+-0.,") == "":
        text = text.lstrip("+-")
    return text.replace("-", "−")
