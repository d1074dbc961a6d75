"""What --over and a file of axes mean: variants, their labels, their folders, and one line for each mistake."""

import re

import pytest
import yaml

from semalign.errors import UserError
from semalign.sweep import find_variants

AXES = {
    "axes": {
        "pairing": {"depth": {"method.pairing": "depth"}, "two": {"method.pairing": {"name": "critical", "count": 2}}},
        "objective": {"geometry": {"method.loss": "geometry", "method.site": "block_delta"}},
    }
}


def over(*texts, **options):
    return find_variants(texts, None, **options)


def refused(call, *given, **options):
    with pytest.raises(UserError) as caught:
        call(*given, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_one_key_is_one_axis():
    found = over("method.pairing=depth, critical,reverse")
    assert [v.name for v in found] == [f"method.pairing={p}" for p in ("depth", "critical", "reverse")]
    assert [v.overrides for v in found] == [{"method.pairing": p} for p in ("depth", "critical", "reverse")]
    assert {v.axis for v in found} == {"method.pairing"}


@pytest.mark.parametrize("text", ["[depth, {name: critical, count: 2}]", "depth,{name: critical, count: 2}"])
def test_values_may_be_mappings(text):
    found = over(f"method.pairing={text}")
    assert [v.overrides["method.pairing"] for v in found] == ["depth", {"name": "critical", "count": 2}]
    assert [v.label for v in found] == ["depth", "critical count=2"]
    assert found[1].folder == "method.pairing=critical-count=2"


def test_values_keep_their_types_on_the_way_through_a_setting():
    found = over("training.learning_rate=[1.0e-06, 0.5]", "other=[null, true, '3', 4, [a, b]]", one_at_a_time=True)
    for variant in found:
        for setting, (key, value) in zip(variant.settings, variant.overrides.items(), strict=True):
            name, _, text = setting.partition("=")
            assert name == key
            assert yaml.safe_load(text) == value
            assert type(yaml.safe_load(text)) is type(value)


def test_keys_make_a_grid_and_one_at_a_time_makes_none():
    texts = ("a=1,2,3", "b=x,y")
    grid = over(*texts)
    assert [v.overrides for v in grid] == [{"a": a, "b": b} for a in (1, 2, 3) for b in ("x", "y")]
    assert grid[1].name == "a=1,b=y"
    assert {v.axis for v in grid} == {"a x b"}
    single = over(*texts, one_at_a_time=True)
    assert [v.overrides for v in single] == [{"a": 1}, {"a": 2}, {"a": 3}, {"b": "x"}, {"b": "y"}]
    assert [v.axis for v in single] == ["a", "a", "a", "b", "b"]


def test_a_file_names_axes_and_changes_several_keys_at_once(tmp_path):
    path = tmp_path / "axes.yaml"
    path.write_text(yaml.safe_dump(AXES, sort_keys=False))
    found = find_variants((), path)
    assert [v.name for v in found] == ["pairing=depth", "pairing=two", "objective=geometry"]
    assert found[2].overrides == {"method.loss": "geometry", "method.site": "block_delta"}
    assert [v.axis for v in found] == ["pairing", "pairing", "objective"]


@pytest.mark.parametrize("value", ["../../etc", "a/b", "C:\\x", "…", "x" * 300, "new\nline", ".hidden", "ünï"])
def test_every_value_is_a_safe_folder(value):
    (variant,) = over(f"key=[{value!r}]")
    assert re.fullmatch(r"[A-Za-z0-9._=,+-]{1,100}", variant.folder)
    assert not variant.folder.startswith((".", "-"))


def test_long_values_that_begin_alike_have_folders_of_their_own():
    first, second = over(f"key=[{'x' * 200}a, {'x' * 200}b]")
    assert first.folder != second.folder


def test_values_that_would_share_a_folder_are_refused():
    assert "share the folder" in refused(over, "key=['a/b', 'a?b']")
    assert "share the folder" in refused(over, "key=[Depth, depth]")
    assert "share the folder" in refused(over, "key=1,1")


@pytest.mark.parametrize("text", ["method.pairing", "=depth", "key=", "key=  ", "key=[]", "key=[a", "key=[a],[b]"])
def test_a_malformed_axis_says_which(text):
    assert f"--over {text}".strip() in refused(over, text)


def test_one_key_twice_is_refused():
    assert refused(over, "a=1", "a=2") == "--over names a key twice: a, a"


def test_over_or_axes_but_not_both_and_not_neither(tmp_path):
    assert "not both" in refused(find_variants, ("a=1",), tmp_path)
    assert refused(find_variants, (), None) == "give --over KEY=V1,V2 or --axes FILE"
    assert "leave it out" in refused(find_variants, (), tmp_path, one_at_a_time=True)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("axes: {}", None),
        ("pairing: {depth: {a: 1}}", "expected 'axes"),
        ("axes: [a]", "expected 'axes"),
        ("axes: {pairing: {}}", "axis 'pairing' has no variants"),
        ("axes: {pairing: depth}", "axis 'pairing' has no variants"),
        ("axes: {pairing: {depth: depth}}", "pairing=depth: expected a mapping"),
        ("axes:\n  p: {a: {k: 1}}\n  p: {b: {k: 2}}", "the key 'p' comes twice"),
        ("axes: {", "not valid YAML"),
    ],
)
def test_a_file_that_is_no_axes_says_what_it_should_be(text, complaint, tmp_path):
    path = tmp_path / "axes.yaml"
    path.write_text(text)
    if complaint is None:
        assert find_variants((), path) == []
    else:
        said = refused(find_variants, (), path)
        assert said.startswith(str(path))
        assert complaint in said


def test_a_missing_file_gets_one_line(tmp_path):
    assert refused(find_variants, (), tmp_path / "no.yaml").startswith(f"{tmp_path / 'no.yaml'}: cannot be read")
