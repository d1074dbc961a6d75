"""Single stages for the command line: attribution, pairing and map of a configuration, and shrinking its teacher."""

from .attribute import attribution_tables
from .basis import basis_tables
from .pair import pairing_tables
from .shrink import shrink_teacher

__all__ = ["attribution_tables", "basis_tables", "pairing_tables", "shrink_teacher"]
