"""Paths that users write: home folders and environment variables filled in."""

import os

from .errors import UserError


def expand(name: str) -> str:
    """`~` and `$VARIABLES` filled in; a variable that is not set is an error."""
    filled = os.path.expanduser(os.path.expandvars(name))
    if "$" in filled:
        variable = filled.split("$", 1)[1].split("/")[0].strip("{}")
        raise UserError(f"'{name}' needs the environment variable {variable}, which is not set")
    return filled
