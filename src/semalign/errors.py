"""What a user did wrong, said in one line: what, where, what to do."""

from collections.abc import Iterable
from difflib import get_close_matches

LONGEST = 2000  # letters of a message; what is quoted in it may be a whole row


class UserError(ValueError):
    """A user's mistake; the command line prints its one line and exits with code 2."""


def printable(message: str) -> str:
    """A message on one line of a terminal, line ends and control characters that it quotes escaped."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in message[:LONGEST])


def suggestion(given: str, known: Iterable[str]) -> str:
    """`Did you mean 'x'? There are: x, y, z` for a misspelt name."""
    names = sorted(known)
    close = get_close_matches(given, names, n=1, cutoff=0.5)
    hint = f"Did you mean '{close[0]}'? " if close else ""
    return f"{hint}There are: {', '.join(names) or 'none'}"


def unknown(kind: str, given: str, known: Iterable[str], where: str = "") -> UserError:
    """The error for a name that does not exist, with the nearest one that does."""
    prefix = f"{where}: " if where else ""
    return UserError(f"{prefix}unknown {kind} '{given}'. {suggestion(given, known)}")
