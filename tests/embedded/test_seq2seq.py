"""pairs/seq2seq.py makes encoder-decoders that load, answer and are paired; it overwrites nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

from semalign.models import encoder_of, load

SCRIPT = Path(__file__).parents[2] / "pairs" / "seq2seq.py"


@pytest.mark.slow
@pytest.mark.parametrize("family", ["t5", "bart"])
def test_it_trains_an_encoder_decoder_with_the_pairs_tokenizer(family, tmp_path):
    command = [sys.executable, str(SCRIPT), family, "--steps", "2", "--out", str(tmp_path / "model")]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    assert '"step": 2' in made.stdout
    model = load(str(tmp_path / "model"))
    assert model.is_encoder_decoder
    assert (model.n_layer, encoder_of(model).n_layer, model.width) == (3, 3, 96)
    assert model.tokenizer.get_vocab() == load("embedded:teacher").tokenizer.get_vocab()
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 2
    assert "name another folder" in again.stderr
