"""The file of a comparison: what it makes of its parts, and one line for every mistake."""

import pytest
import yaml

from semalign.compare.config import Comparison
from semalign.errors import UserError

PAIR = {"teacher": {"model": "embedded:teacher", "adapt": True}, "student": "embedded:student"}


def values(**changes):
    return {
        "name": "c",
        "pairs": {"one": PAIR},
        "data": {"template": "plain", "tasks": [{"folder": "embedded:facts", "rows": {"train": 20, "test": 7}}]},
        "training": {"epochs": 2, "lora": {"rank": 4, "alpha": 4}},
        "methods": {"semalign": "semalign", "fine": "sft", "kd": {"name": "logit_kd", "outputs": ["kl"]}},
        **changes,
    }


@pytest.fixture
def read(tmp_path):
    def read_values(*overrides, **changes):
        (tmp_path / "c.yaml").write_text(yaml.safe_dump(values(**changes), sort_keys=False), encoding="utf-8")
        return Comparison.read(tmp_path / "c.yaml", overrides)

    return read_values


def refused(read, *overrides, **changes):
    with pytest.raises(UserError) as caught:
        read(*overrides, **changes).runs("c.yaml")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_every_method_gets_a_run_with_the_same_rows_and_budget(read, tmp_path):
    comparison = read()
    (runs,) = comparison.runs("c.yaml").values()
    assert list(runs) == ["semalign", "fine", "kd"]
    assert [run.method.name for run in runs.values()] == ["semalign", "sft", "logit_kd"]
    assert len({str({**run.plain(), "method": None}) for run in runs.values()}) == 1
    assert runs["kd"].training.epochs == 2
    assert not runs["kd"].controls
    assert runs["kd"].root == tmp_path


def test_what_a_pair_says_wins_key_by_key(read):
    pairs = {"one": PAIR, "two": {**PAIR, "training": {"lora": {"rank": 8}}, "data": {"max_length": 99}}}
    one, two = (runs["fine"] for runs in read(pairs=pairs).runs("c.yaml").values())
    assert (one.training.lora.rank, two.training.lora.rank) == (4, 8)
    assert two.training.lora.alpha == one.training.lora.alpha == 4
    assert two.training.epochs == 2
    assert (two.data.max_length, two.data.tasks) == (99, one.data.tasks)


@pytest.mark.parametrize(("given", "seeds"), [(3, (0, 1, 2)), ([7, 2], (7, 2)), (1, (0,))])
def test_seeds_are_a_number_or_a_list(given, seeds, read):
    assert read(seeds=given).seeds == seeds


@pytest.mark.parametrize(
    ("changes", "name"),
    [({}, "semalign"), ({"recommended": "kd"}, "kd"), ({"methods": {"b": "sft", "a": "logit_kd"}}, "b")],
)
def test_semalign_or_the_first_is_recommended_where_nothing_is(changes, name, read):
    assert read(**changes).recommended == name


def test_settings_of_the_command_line_win(read):
    comparison = read("training.epochs=5", "methods.fine.layers=[0]", "seeds=[4]", "pairs.one.teacher.adapt=false")
    run = comparison.runs("c.yaml")["one"]["fine"]
    assert (run.training.epochs, run.seed, run.teacher.adapt) == (5, 4, False)
    assert run.method.spec()["layers"] == [0]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"method": "sft"}, "a comparison takes no 'method'. Did you mean 'methods'?"),
        ({"pairs": {}}, "pairs: expected a mapping from names to pairs, got {}"),
        ({"pairs": {"one": {"teacher": "a"}}}, "'pairs.one' needs 'student'"),
        ({"pairs": {"one": {**PAIR, "trainin": {}}}}, "'pairs.one' takes no 'trainin'. Did you mean 'training'?"),
        (
            {"pairs": {"one": {**PAIR, "teacher": {"model": "a", "adpt": True}}}},
            "'pairs.one.teacher' takes no 'adpt'. Did you mean 'adapt'?",
        ),
        ({"pairs": {"a": PAIR, "A": PAIR}}, "pairs: the names 'a' and 'A' would share a folder"),
        ({"pairs": {"a/b": PAIR}}, "pairs: 'a/b' is no name for a pair"),
        ({"pairs": {"a": PAIR, "b": {**PAIR, "teacher": "x"}}}, "pairs: 'a' adapts its teacher and 'b' does not"),
        ({"methods": {"x": "stf"}}, "methods.x: unknown method 'stf'. Did you mean 'sft'?"),
        ({"methods": {"x": {"name": "sft", "layer": [0]}}}, "methods.x: method 'sft' takes no 'layer'. Did you mean"),
        ({"methods": {"teacher": "sft"}}, "methods: the name 'teacher' is taken by a model"),
        ({"methods": ["sft"]}, "methods: expected a mapping from names to methods, got ['sft']"),
        ({"recommended": "semalgn"}, "recommended: unknown method 'semalgn'. Did you mean 'semalign'?"),
        ({"seeds": 0}, "seeds: expected how many seeds, at least 1, or a list of them, got 0"),
        ({"seeds": True}, "seeds: expected a number, got true"),
        ({"seeds": [1, 1]}, "seeds: a seed is named twice: [1, 1]"),
        ({"seeds": [-1]}, "seeds: a seed is at least 0"),
        ({"training": {"epoch": 1}}, "c.yaml: pair 'one': 'training' takes no 'epoch'. Did you mean 'epochs'?"),
        ({"data": {}}, "c.yaml: pair 'one': no 'data', neither of its own nor shared"),
        ({"evaluation": {"split": "train"}}, "c.yaml: pair 'one': evaluation.split: "),
    ],
)
def test_a_mistake_is_one_line_with_its_place(changes, complaint, read):
    assert complaint in refused(read, **changes)


MIXED = {"semalign": "semalign", "fine": "sft", "kd": {"name": "logit_kd", "outputs": [{"name": "kl", "top_k": 8}]}}


def test_a_cache_goes_to_every_method_with_the_options_that_it_can_use(read):
    comparison = read(methods={**MIXED, "own": "gkd"}, cache={"states": "int8", "top_k": 16, "folder": "kept"})
    (runs,) = comparison.runs("c.yaml").values()
    assert {name: run.cache and (run.cache.states, run.cache.top_k) for name, run in runs.items()} == {
        "semalign": ("int8", None),
        "fine": None,
        "kd": ("int8", 16),
        "own": None,
    }
    assert runs["kd"].cache_folder == runs["semalign"].cache_folder
    assert list(comparison.uncached) == ["own"]
    assert comparison.plain()["cache"]["top_k"] == 16
    assert read().uncached == {}
    assert "cache" not in read().plain()


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"methods": {"a": "sft", "b": "gkd"}, "cache": {}}, "cache: none of the methods (a, b) can follow a teacher"),
        ({"methods": {"a": "sft", "b": "semalign"}, "cache": {"top_k": 4}}, "cache: 'top_k' has no effect"),
        ({"methods": MIXED, "cache": {"top_k": 4}}, "but loss 'kl' looks at 8"),
        ({"cache": {"state": "int8"}}, "'cache' takes no 'state'. Did you mean 'states'?"),
    ],
)
def test_a_cache_that_no_method_could_use_is_refused(changes, complaint, read):
    assert complaint in refused(read, **changes)


def test_a_file_that_is_none_is_one_line(tmp_path):
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(UserError, match=r"list\.yaml: expected a mapping with pairs, data and methods"):
        Comparison.read(tmp_path / "list.yaml")
    with pytest.raises(UserError, match="no such configuration file"):
        Comparison.read(tmp_path / "none.yaml")
