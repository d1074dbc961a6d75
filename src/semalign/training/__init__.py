"""Training: the loop, its options, checkpoints and the signs of trouble it watches for."""

from .engine import Engine, start_engine
from .engine_options import EngineOptions
from .loop import History, train
from .options import LoraOptions, TrainingOptions
from .tally import Tally

__all__ = ["Engine", "EngineOptions", "History", "LoraOptions", "Tally", "TrainingOptions", "start_engine", "train"]
