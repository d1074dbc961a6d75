"""Where a run's parts come from: what is published, what is reconstructed, what to cite."""

import json
from collections.abc import Mapping

from .record import Record, models

SEMALIGN = {
    "name": "SemAlign",
    "source": "Jian Gu, Aldeida Aleti, Chunyang Chen, Hongyu Zhang. Beyond Neural Incompatibility: Easing Cross-Scale "
    "Knowledge Transfer in Language Models through Latent Semantic Alignment. arXiv:2510.24208 (2025); "
    "Findings of ACL 2026.",
}
PROVENANCE = (
    "Published (arXiv:2510.24208 v1): the semantic basis from the language-model head, attribution by gradient x "
    "activation, the depth rule with critical layers, and the two cosine terms of the SemAlign objective.",
    "Not stated in the paper and chosen here: optimiser, schedule, precision, seeds, maximum length, the number of "
    "critical layers, the site of the layer loss, and how attribution is summed over tokens and rows. The authors "
    "released no code.",
)
CONTROL = "The paper shows no plain-SFT control; the LoRA-SFT control here is ours."


def provenance(record: Record) -> tuple[str, ...]:
    """What is published and what was chosen here; of the control only where the run has it."""
    has_control = any(model["key"] == "sft" and model["role"] == "control" for model in models(record))
    return (*PROVENANCE, CONTROL) if has_control else PROVENANCE


def method_specs(record: Record) -> tuple[tuple[str, str], ...]:
    """The parts that each trained model was made with, as JSON."""
    return tuple(
        (str(model["label"]), json.dumps(model["method"], indent=1, ensure_ascii=False))
        for model in models(record)
        if model.get("method")
    )


def citations(record: Record) -> tuple[Mapping[str, str], ...]:
    """What the run used and where it comes from; SemAlign first and always."""
    rest = [item for item in record["citations"] if item.get("source") and item.get("name") != SEMALIGN["name"]]
    return (SEMALIGN, *({"name": str(item.get("name", "")), "source": str(item["source"])} for item in rest))
