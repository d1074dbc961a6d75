"""Training: the loop, its options, checkpoints and the signs of trouble it watches for."""

from .loop import History, train
from .options import LoraOptions, TrainingOptions
from .tally import Tally

__all__ = ["History", "LoraOptions", "Tally", "TrainingOptions", "train"]
