"""The four task families of the embedded pair, one file each."""

from .arithmetic import ARITHMETIC
from .facts import FACTS
from .functions import FUNCTIONS
from .programs import PROGRAMS
from .rows import Family, Key, Row

FAMILIES = (FACTS, ARITHMETIC, FUNCTIONS, PROGRAMS)

__all__ = ["FAMILIES", "Family", "Key", "Row"]
