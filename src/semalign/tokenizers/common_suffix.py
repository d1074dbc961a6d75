"""How far two texts are the same, counted from their ends."""


def common_suffix(one: str, other: str) -> int:
    """The number of UTF-8 bytes that both texts end with."""
    a, b = one.encode()[::-1], other.encode()[::-1]
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
