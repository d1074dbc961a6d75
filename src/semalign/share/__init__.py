"""What a run gives away: model cards beside the student and the adapter, and their upload when asked for."""

from .card import write_cards
from .push import Parcel, pack, send

__all__ = ["Parcel", "pack", "send", "write_cards"]
