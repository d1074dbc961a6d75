"""What a cell sorts by: the number that its text begins with, times in seconds and memory in bytes."""

import re

_NUMBER = re.compile(r"([+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?)(?: (GiB|MiB|h|min|s)\b)?(?: (\d+) (min|s)\b)?")
_SIZES = {None: 1, "": 1, "GiB": 2.0**30, "MiB": 2.0**20, "h": 3600, "min": 60, "s": 1}


def sort_key(text: str) -> float | None:
    """None where the text begins with no number, as names and dashes do."""
    found = _NUMBER.match(text.replace("−", "-").replace(",", ""))
    if found is None:
        return None
    value, unit, rest, smaller = found.groups()
    return float(value) * _SIZES[unit] + (float(rest) * _SIZES[smaller] if rest else 0.0)
