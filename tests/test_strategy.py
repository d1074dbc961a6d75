"""Strategies: found by import, built from plain values, printed back to them; every mistake is one line."""

import dataclasses
import inspect
import json
import sys
import typing

import pytest

from semalign.errors import UserError
from semalign.strategy import KINDS, PACKAGES, Strategy, available, build, described

REQUIRED = {("pairing", "manual"): {"pairs": [[0, 2], [3, 1]]}}
"""Arguments of the strategies that cannot be built from their name alone."""

BOUND = {("method", "semalign"): {"norm", "part"}, ("method", "laten"): {"sources"}}
"""Fields that have an effect only beside a value of another field, or none beside some, and are refused then."""

EVERY = [(kind, name) for kind in KINDS for name in available(kind)]


def made(kind, name):
    return build(kind, {"name": name, **REQUIRED.get((kind, name), {})})


def line_of(kind, given, where=""):
    with pytest.raises(UserError) as caught:
        build(kind, given, where)
    line = str(caught.value)
    assert "\n" not in line
    return line


# names


def test_an_unknown_kind_is_refused_with_the_nearest():
    with pytest.raises(UserError) as caught:
        available("pairings")
    there = "attribution, basis, loss, method, pairing, schedule"
    expected = f"unknown kind 'pairings'. Did you mean 'pairing'? There are: {there}"
    assert str(caught.value) == expected


def test_an_unknown_name_is_refused_with_place_and_nearest():
    names = ", ".join(available("pairing"))
    assert line_of("pairing", "dept", "run.yaml: method.pairing") == (
        f"run.yaml: method.pairing: unknown pairing 'dept'. Did you mean 'depth'? There are: {names}"
    )


def test_a_name_far_from_all_gets_the_list_without_a_guess():
    names = ", ".join(available("basis"))
    assert line_of("basis", "zzzzzzzzz") == f"unknown basis 'zzzzzzzzz'. There are: {names}"


def test_an_unknown_name_inside_a_strategy_is_refused_with_its_own_place():
    names = ", ".join(available("basis"))
    given = {"name": "permuted", "of": {"name": "logits"}}
    expected = f"basis.of: unknown basis 'logits'. Did you mean 'logit'? There are: {names}"
    assert line_of("basis", given, "basis") == expected
    assert line_of("basis", given) == expected.removeprefix("basis.")


# fields


def test_an_unknown_field_is_refused_with_the_nearest():
    given = {"name": "critical", "cont": 2}
    expected = "pairing 'critical' takes no 'cont'. Did you mean 'count'? There are: count, interpolate"
    assert line_of("pairing", given) == expected
    assert line_of("pairing", given, "run.yaml") == f"run.yaml: {expected}"


def test_a_field_of_a_strategy_without_fields_is_refused():
    assert line_of("basis", {"name": "identity", "seed": 1}) == "basis 'identity' takes no 'seed'. There are: none"


def test_a_field_that_is_not_a_word_is_refused():
    assert line_of("basis", {"name": "identity", 3: 1}) == "basis 'identity' takes no '3'. There are: none"


def test_a_missing_field_is_named():
    assert line_of("pairing", "manual", "here") == "here: pairing 'manual' needs 'pairs'"


@pytest.mark.parametrize("given", [None, 3, ["depth"], {"count": 1}, {"name": 3}], ids=str)
def test_something_that_is_no_strategy_is_refused(given):
    expected = f"here: expected the name of a pairing or a mapping with 'name', got {given!r}"
    assert line_of("pairing", given, "here") == expected


def test_a_ready_strategy_of_another_kind_is_refused():
    assert line_of("loss", made("basis", "cosine"), "here") == "here: expected a loss, got the basis 'cosine'"


# values


def test_a_value_of_the_wrong_type_is_refused_with_its_place():
    expected = "input should be a valid integer, unable to parse string as an integer, got 'many'"
    assert line_of("pairing", {"name": "critical", "count": "many"}, "pairing") == f"pairing.count: {expected}"
    assert line_of("pairing", {"name": "critical", "count": "many"}) == f"count: {expected}"


def test_a_value_out_of_range_is_refused():
    assert line_of("pairing", {"name": "critical", "count": 0}) == (
        "count: input should be greater than or equal to 1, got 0"
    )
    assert line_of("loss", {"name": "cosine", "weight": 0}) == "weight: input should be greater than 0, got 0"
    assert line_of("loss", {"name": "kl", "temperature": -1.0}, "loss") == (
        "loss.temperature: input should be greater than 0, got -1.0"
    )


@pytest.mark.parametrize("value", [float("inf"), float("nan"), "inf"])
def test_a_number_that_is_not_finite_is_refused(value):
    assert line_of("basis", {"name": "logit", "ridge": value}) == (
        f"ridge: input should be a finite number, got {value!r}"
    )


def test_a_truth_value_is_no_number():
    assert line_of("pairing", {"name": "critical", "count": True}) == "count: True is not a possible value"
    assert line_of("loss", {"name": "kl", "weight": False}, "loss") == "loss.weight: False is not a possible value"


def test_an_unknown_choice_is_refused_with_the_nearest():
    given = {"name": "gradient_x_activation", "aggregation": "absolut"}
    assert line_of("attribution", given, "here") == (
        "here.aggregation: unknown value 'absolut'. Did you mean 'absolute'? There are: absolute, l2, signed"
    )


def test_a_wrong_item_is_refused_with_its_index():
    given = {"name": "manual", "pairs": [[0, 1], [2, "x"]]}
    line = line_of("pairing", given, "pairing")
    assert line == (
        "pairing.pairs[1][1]: input should be a valid integer, unable to parse string as an integer, got 'x'"
    )


def test_a_value_that_the_strategy_itself_refuses_is_refused_with_its_place():
    given = {"name": "manual", "pairs": [[1, 0], [1, 2]]}
    expected = "here: pairing 'manual': 'pairs' names a student layer twice: [1, 1]"
    assert line_of("pairing", given, "here") == expected


def test_a_list_of_strategies_is_checked_item_by_item():
    names = ", ".join(available("loss"))
    given = {"name": "semalign", "outputs": ["kl", "cross_entropi"]}
    assert line_of("method", given, "method") == (
        f"method.outputs[1]: unknown loss 'cross_entropi'. Did you mean 'cross_entropy'? There are: {names}"
    )
    assert line_of("method", {"name": "semalign", "outputs": "kl"}) == "outputs: expected a list, got 'kl'"


# building


def test_a_ready_strategy_is_taken_as_it_is():
    strategy = made("basis", "cosine")
    assert build("basis", strategy) is strategy


def test_a_list_of_strategies_may_mix_names_and_mappings():
    method = build("method", {"name": "semalign", "outputs": ["kl", {"name": "cross_entropy", "weight": 0.5}]})
    assert [(loss.name, loss.weight) for loss in method.outputs] == [("kl", 1.0), ("cross_entropy", 0.5)]


def test_a_strategy_may_hold_another():
    permuted = build("basis", {"name": "permuted", "of": {"name": "logit", "ridge": 0.25}, "seed": 3})
    assert permuted.spec() == {
        "name": "permuted",
        "of": {"name": "logit", "pieces": None, "ridge": 0.25, "fold_final_norm": False},
        "seed": 3,
    }
    assert build("basis", {"name": "permuted", "of": permuted}).of == permuted


def test_a_field_that_may_be_none_takes_none_and_a_value():
    assert build("pairing", {"name": "random", "count": None}).count is None
    assert build("pairing", {"name": "random", "count": 3}).count == 3
    assert build("method", {"name": "semalign", "attribution": None}).attribution is None
    assert build("method", {"name": "semalign", "attribution": "occlusion"}).attribution.name == "occlusion"


def other(annotation, value):
    """A legal value of a field that is not `value`; None where this helper knows none."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value / 2 if 0 < value < 1 else value + 2  # shares stay shares
    if typing.get_origin(annotation) is typing.Literal:
        return next(choice for choice in typing.get_args(annotation) if choice != value)
    return None


def changed(strategy):
    """The strategy with every plain field moved off its default."""
    hints = typing.get_type_hints(type(strategy))
    free = [field for field in fields(strategy) if field.name not in BOUND.get((strategy.kind, strategy.name), ())]
    changes = {field.name: other(hints[field.name], getattr(strategy, field.name)) for field in free}
    return strategy.replace(**{name: value for name, value in changes.items() if value is not None})


def fields(strategy):
    return dataclasses.fields(strategy)


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_specification_and_strategy_are_one_through_json(kind, name):
    for strategy in (made(kind, name), changed(made(kind, name))):
        again = build(kind, json.loads(json.dumps(strategy.spec())))
        assert again == strategy
        assert type(again) is type(strategy)
        assert hash(again) == hash(strategy)
    plain = [field for field in fields(strategy) if other(typing.Any, getattr(strategy, field.name)) is not None]
    assert not plain or strategy != made(kind, name)


def test_a_nested_specification_builds_the_same_method():
    given = {
        "name": "semalign",
        "attribution": {"name": "gradient_x_activation", "aggregation": "l2"},
        "pairing": {"name": "critical", "count": 3, "interpolate": True},
        "basis": {"name": "permuted", "of": {"name": "permuted", "of": "logit"}},
        "outputs": ["cross_entropy", {"name": "kl", "temperature": 2.0, "weight": 0.5}],
        "site": "attn_out",
    }
    method = build("method", given)
    assert build("method", json.loads(json.dumps(method.spec()))) == method
    assert method.basis.of.of.name == "logit"


# every strategy


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_every_strategy_is_frozen(kind, name):
    strategy = made(kind, name)
    for field in [*fields(strategy), None]:
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(strategy, field.name if field else "anything", 1)


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_every_strategy_takes_keywords_only(kind, name):
    with pytest.raises(TypeError):
        available(kind)[name](1)


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_every_strategy_cites_and_explains_itself(kind, name):
    cls = available(kind)[name]
    assert (cls.kind, cls.name) == (kind, name)
    assert "source" in vars(cls)
    assert cls.source.strip()
    assert "__doc__" in vars(cls)
    first_line = inspect.getdoc(cls).partition("\n")[0]
    assert first_line.endswith((".", ":", ";")) or len(first_line) > 20
    assert not first_line.startswith(f"{cls.__name__}(")  # what dataclass writes where there is no docstring
    assert described(kind)[name] == first_line


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_read_from_the_files_is_what_importing_them_finds(kind):
    assert list(described(kind)) == list(available(kind))


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_one_file_holds_one_strategy(kind, name):
    cls = available(kind)[name]
    others = [c for c in available(kind).values() if c.__module__ == cls.__module__]
    assert others == [cls]


# new strategies

NEW = '''
from dataclasses import dataclass
from {package}.base import {base}


@dataclass(frozen=True, kw_only=True)
class New({base}, name="{name}"):
    """New."""

    source = "test"
    shift: int = 0

    def pair(self, context):
        return []
'''


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder that belongs to the pairing package for the length of a test; what is found there is forgotten then."""
    from semalign import strategy

    package = sys.modules[PACKAGES["pairing"]]
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    monkeypatch.setitem(strategy._REGISTRY, "pairing", dict(strategy._REGISTRY["pairing"]))
    known = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - known:
        del sys.modules[name]


def test_a_new_file_is_a_new_strategy(folder):
    assert "brand_new" not in available("pairing")
    (folder / "anything.py").write_text(NEW.format(package="semalign.pairing", base="Pairing", name="brand_new"))
    assert "brand_new" in available("pairing")
    strategy = build("pairing", {"name": "brand_new", "shift": 2})
    assert strategy.spec() == {"name": "brand_new", "shift": 2}
    assert "Did you mean 'brand_new'?" in line_of("pairing", "brandnew")


def test_two_strategies_of_one_name_are_refused(folder):
    (folder / "again.py").write_text(NEW.format(package="semalign.pairing", base="Pairing", name="depth"))
    with pytest.raises(
        ValueError, match=r"two strategies of kind pairing are named 'depth': .*\.depth\.Depth, .*\.again\.New"
    ):
        available("pairing")


def test_two_strategies_of_one_name_in_one_file_are_refused(folder):
    text = NEW.format(package="semalign.pairing", base="Pairing", name="twice")
    (folder / "twice.py").write_text(text + text.replace("class New", "class Newer"))
    with pytest.raises(ValueError, match="two strategies of kind pairing are named 'twice'"):
        available("pairing")


def test_one_name_in_two_kinds_is_two_strategies():
    assert available("basis")["random"] is not available("pairing")["random"]
    assert issubclass(available("basis")["random"], Strategy)


def test_an_abstract_class_is_no_strategy():
    for kind in KINDS:
        for cls in available(kind).values():
            assert not getattr(cls, "__abstractmethods__", None)
