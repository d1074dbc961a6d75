"""The paper's Fig. 2 on real weights: what each basis keeps of a state, with the controls the paper's figure needs."""

import json
import os
from pathlib import Path

import pytest
import torch

from semalign.basis.cosine import Cosine
from semalign.basis.input_side import InputSide
from semalign.basis.quality import reconstruction
from semalign.basis.random import Random
from semalign.data import Row, batches, encode, padding_token
from semalign.models import load

MODELS = Path(os.environ.get("SEMALIGN_MODELS", "~/.cache/semalign-models")).expanduser()
DATA = Path(os.environ.get("SEMALIGN_DATA", Path(__file__).parents[3] / "shared" / "data"))
MODEL, ROWS = MODELS / "smollm2-135m-instruct", DATA / "gsm8k" / "train.jsonl"
N_ROW = 4  # the curves of 4 and of 8 rows differ by less than 0.01
TOLERANCE = 0.03


@pytest.fixture(scope="module")
def material():
    for path in (MODEL, ROWS):
        if not path.exists():
            pytest.skip(f"{path} is not here: real weights and benchmark files are had as docs/real-models.md says")
    model = load(str(MODEL), dtype="float32")
    lines = [json.loads(line) for line in ROWS.read_text(encoding="utf-8").splitlines()[:N_ROW]]
    rows = [
        Row(str(i), "gsm8k", f"Question: {line['question']}\nAnswer:\n", line["answer"]) for i, line in enumerate(lines)
    ]
    examples = encode(rows, model.tokenizer, template="plain", max_length=512)
    return model, torch.arange(model.n_token), list(batches(examples, N_ROW, padding_token(model.tokenizer)))


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize(
    ("basis", "low", "high"),
    [(Cosine(), 0.68, 0.80), (InputSide(), 0.12, 0.20), (Random(), 0.99, 0.99)],
    ids=["output side", "input side", "random"],
)
def test_reconstruction_cosines_of_smollm2_are_those_on_record(material, basis, low, high):
    curves = torch.cat([reconstruction(basis, *material, site) for site in ("block_out", "mlp_out")])
    assert float(curves.min()) == pytest.approx(low, abs=TOLERANCE)
    assert float(curves.max()) == pytest.approx(high, abs=TOLERANCE)
