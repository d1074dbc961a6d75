"""Language models: load them, listen to them by site, shrink them, adapt them, save them plain.

Indices count from 0; layer i is block i, its output is the state after it; the embedding is not a layer.
"""

from .adapters import lora, merge, unload
from .family import Family, families
from .language_model import LanguageModel
from .listen import FINAL, Point, Site, listen, silence
from .load import assemble, load
from .save import save_plain
from .shrink import shrink

__all__ = [
    "FINAL",
    "Family",
    "LanguageModel",
    "Point",
    "Site",
    "assemble",
    "families",
    "listen",
    "load",
    "lora",
    "merge",
    "save_plain",
    "shrink",
    "silence",
    "unload",
]
