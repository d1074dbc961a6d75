"""`semalign basis`: its tables, the files it writes, what it refuses; maps are measured on rows of their own."""

import json
import re

import pytest
from tiny_run import config_of, write_world

from semalign.basis.cosine import Cosine
from semalign.basis.logit import Logit
from semalign.basis.permuted import Permuted
from semalign.config import Run
from semalign.errors import UserError
from semalign.inspect import basis_tables
from semalign.inspect.measure_basis import label, measure
from semalign.strategy import available

METHOD = {"name": "semalign", "pairing": "depth", "site": "block_out", "outputs": ["cross_entropy"]}


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    world = write_world(tmp_path_factory.mktemp("world"))
    return config_of(world, method={**METHOD, "basis": "ridge"}, training={"epochs": 2, "batch_size": 4})


@pytest.fixture(scope="module")
def found(config):
    return measure(Run.read(config, ()))


def test_every_map_is_measured_or_says_why_not(found):
    rows = {row["basis"]: row for row in found["maps"]}
    assert set(available("basis")) | {"logit fold_final_norm=True", "permuted of=logit"} == set(rows)
    assert found["maps"][0]["basis"] == found["basis"] == "ridge"
    for name, row in rows.items():
        if row["refused"]:
            assert name == "procrustes"  # a handful of tiny rows may leave directions open
        elif name != "identity":
            assert all(0 <= row[figure] <= 1 for figure in ("agreement_top1", "lens_top1", "cka_after"))
    assert rows["identity"]["lens_top1"] is None
    assert rows["logit"]["agreement_top5"] > rows["permuted of=logit"]["agreement_top5"]


def test_pairs_and_curves_are_those_of_the_models(found):
    assert [pair["student"] for pair in found["pairs"]] == [0, 1, 2]
    assert all("shrinkage" in pair["map"] for pair in found["pairs"])
    for side, n_layer in (("teacher", 5), ("student", 3)):
        curves = found["reconstruction"][side]
        assert list(curves) == ["cosine", "input_side", "random", "permuted"]  # a map of states has no decomposition
        assert {len(curve) for curve in curves.values()} == {n_layer}


def test_maps_are_fitted_on_align_rows_and_measured_on_extract_rows(found):
    assert found["rows"] == {"fitted": 6, "measured": 12}


def test_the_files_hold_what_the_terminal_shows(config, tmp_path):
    tables = basis_tables(config, (), tmp_path / "sheet")
    assert sorted(path.name for path in (tmp_path / "sheet").iterdir()) == ["basis.html", "basis.json"]
    written = json.loads((tmp_path / "sheet" / "basis.json").read_text())
    page = (tmp_path / "sheet" / "basis.html").read_text()
    assert page.count('role="img"') == 3
    assert len(tables) == 5
    for row in written["maps"]:
        assert row["basis"] in page
    assert not re.search(r'(src|href)="https?:', page)


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_nothing_is_written_over(config, kind, tmp_path):
    taken = tmp_path / "taken"
    if kind == "folder":
        taken.mkdir()
        (taken / "a").touch()
    else:
        taken.touch()
    with pytest.raises(UserError) as caught:
        basis_tables(config, (), taken)
    assert str(caught.value) == f"{taken}: is not an empty folder; choose another --out"


def test_labels_name_what_is_not_usual():
    assert label(Cosine()) == "cosine"
    assert label(Logit(fold_final_norm=True, ridge=0.5)) == "logit ridge=0.5 fold_final_norm=True"
    assert label(Permuted(of=Logit(), seed=3)) == "permuted of=logit"
