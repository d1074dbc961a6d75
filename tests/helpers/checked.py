"""The type checker behind the shapes in signatures: as in every other Python program, an int is a float too."""

from beartype import BeartypeConf, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
