"""Single stages for the command line: attribution, pairing and map of a configuration, and shrinking its teacher."""

from .attribute import attribution_table
from .basis import basis_tables
from .pair import pairing_table
from .shrink import shrink_teacher

__all__ = ["attribution_table", "basis_tables", "pairing_table", "shrink_teacher"]
