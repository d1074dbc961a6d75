"""Where a verb writes what it found: a folder of its own, or nowhere."""

from pathlib import Path

from ..errors import UserError


def check_fresh(out: Path | None) -> None:
    """Refuse a folder that already holds something; asked before anything is computed."""
    if out is not None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out}: is not an empty folder; choose another --out")
