"""semalign inside other people's training scripts: a trainer of Transformers whose loss is a method's."""

from .trainer import AlignmentTrainer

__all__ = ["AlignmentTrainer"]
