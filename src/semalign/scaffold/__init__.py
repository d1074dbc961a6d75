"""`semalign init`: a commented configuration for two models and a file of rows."""

from .write import Written, write_config

__all__ = ["Written", "write_config"]
