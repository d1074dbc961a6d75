"""A finding: how bad, what, where, what to do."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Severity = Literal["ok", "note", "warning", "error"]
SEVERITIES: tuple[Severity, ...] = ("ok", "note", "warning", "error")
EXIT_CODES = {"ok": 0, "note": 0, "warning": 1, "error": 2}


@dataclass(frozen=True)
class Finding:
    """`where` is a part of the configuration, a split of a task, or the machine; `what_to_do` is empty where all is
    well."""

    severity: Severity
    what: str
    where: str
    what_to_do: str = ""

    def plain(self) -> dict[str, Any]:
        return asdict(self)


def exit_code(findings: Sequence[Finding]) -> int:
    """0 where there are only notes, 1 with warnings, 2 with errors."""
    return max((EXIT_CODES[finding.severity] for finding in findings), default=0)
