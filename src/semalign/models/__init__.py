"""Language models: load them, listen to them by site, shrink them, adapt them, save them plain.

Indices count from 0; layer i is block i, its output is the state after it; the embedding is not a layer.
"""

from .adapter_files import load_adapter, save_adapter
from .adapters import lora, lora_targets, merge, train_only, unload
from .discover import assemble
from .drawn import GREEDY, Drawn, stream_seed
from .encoder import Encoder, Part, encoder_of, reader_of, states_with_prompt
from .evaluating import evaluating
from .family import Family, families
from .language_model import LanguageModel, context_length
from .listen import FINAL, Point, Site, check_layer_site, listen, silence
from .load import load
from .partial import states_of
from .reading import reading
from .recompute import recomputing
from .save import save_plain
from .shrink import shrink
from .trunk import Encoded, embedded, run_trunk
from .vocabulary import Agreement, SharedTokens, shared_tokens, tokenizers_agree

__all__ = [
    "FINAL",
    "GREEDY",
    "Agreement",
    "Drawn",
    "Encoded",
    "Encoder",
    "Family",
    "LanguageModel",
    "Part",
    "Point",
    "SharedTokens",
    "Site",
    "assemble",
    "check_layer_site",
    "context_length",
    "embedded",
    "encoder_of",
    "evaluating",
    "families",
    "listen",
    "load",
    "load_adapter",
    "lora",
    "lora_targets",
    "merge",
    "reader_of",
    "reading",
    "recomputing",
    "run_trunk",
    "save_adapter",
    "save_plain",
    "shared_tokens",
    "shrink",
    "silence",
    "states_of",
    "states_with_prompt",
    "stream_seed",
    "tokenizers_agree",
    "train_only",
    "unload",
]
