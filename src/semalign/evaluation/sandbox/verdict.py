"""The outcome of one program run against its tests."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether a program passed its tests, and why not.

    `reason` is "passed" or starts with one of: "failed: ", "syntax error: ", "forged exit: ", "crashed: ", "memory",
    "timeout". `seconds` is wall time, both processes included.
    """

    passed: bool
    reason: str
    seconds: float
