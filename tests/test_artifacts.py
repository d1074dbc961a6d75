"""Files are written whole or not at all, and what stops them is said in one line."""

import errno
import json
import os
import stat
from pathlib import Path

import numpy
import pytest
import torch

from semalign import artifacts
from semalign.artifacts import key, read_json, read_tensors, whole_file, whole_folder, write_json, write_tensors
from semalign.errors import UserError


class Broken(Exception):
    pass


def break_off(path):
    path.write_text("half")
    raise Broken


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# whole or not at all


def test_a_file_appears_only_when_its_block_ends(tmp_path):
    path = tmp_path / "deep" / "a.txt"
    with whole_file(path) as temporary:
        temporary.write_text("new")
        assert not path.exists()
        assert temporary.parent == path.parent  # the same disk, so that the last step is one rename
    assert path.read_text() == "new"
    assert names(path.parent) == ["a.txt"]


def test_a_file_stays_as_it_was_where_its_block_raises(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(Broken), whole_file(path) as temporary:
        break_off(temporary)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_new_file_leaves_nothing_where_its_block_raises(tmp_path):
    with pytest.raises(Broken), whole_file(tmp_path / "a.txt") as temporary:
        break_off(temporary)
    assert names(tmp_path) == []


def test_a_folder_replaces_the_older_one_whole(tmp_path):
    path = tmp_path / "run"
    path.mkdir()
    (path / "old").write_text("old")
    with whole_folder(path) as temporary:
        (temporary / "new").write_text("new")
        assert names(path) == ["old"]
    assert names(path) == ["new"]
    assert names(tmp_path) == ["run"]


def test_a_folder_stays_as_it_was_where_its_block_raises(tmp_path):
    path = tmp_path / "run"
    path.mkdir()
    (path / "old").write_text("old")
    with pytest.raises(Broken), whole_folder(path) as temporary:
        break_off(temporary / "new")
    assert (path / "old").read_text() == "old"
    assert names(path) == ["old"]
    assert names(tmp_path) == ["run"]


def test_a_folder_stays_as_it_was_where_the_new_one_cannot_take_its_place(tmp_path, monkeypatch):
    path, replace = tmp_path / "run", os.replace
    path.mkdir()
    (path / "old").write_text("old")

    def refuse(source, target):
        if Path(target) == path and (Path(source) / "new").exists():
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        replace(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="Input/output"), whole_folder(path) as temporary:
        (temporary / "new").write_text("new")
    assert (path / "old").read_text() == "old"
    assert names(tmp_path) == ["run"]


def test_a_folder_does_not_replace_a_file(tmp_path):
    path = tmp_path / "run"
    path.write_text("old")
    with pytest.raises(UserError, match=r"run: is a file, not a folder; choose another"), whole_folder(path):
        pass
    assert path.read_text() == "old"
    assert names(tmp_path) == ["run"]


def test_others_may_read_what_is_written(tmp_path):
    write_json(tmp_path / "a.json", {})
    with whole_folder(tmp_path / "run"):
        pass
    assert stat.S_IMODE((tmp_path / "a.json").stat().st_mode) & 0o444 == 0o444
    assert stat.S_IMODE((tmp_path / "run").stat().st_mode) & 0o555 == 0o555


# a disk that refuses

REFUSALS = {
    errno.ENOSPC: "no disk space left; free some or choose another --out folder (finished stages are kept)",
    errno.EDQUOT: "no disk space left; free some or choose another --out folder (finished stages are kept)",
    errno.EACCES: f"cannot be written ({os.strerror(errno.EACCES)}); choose another --out folder",
    errno.EROFS: f"cannot be written ({os.strerror(errno.EROFS)}); choose another --out folder",
}


@pytest.mark.parametrize("number", REFUSALS, ids=errno.errorcode.get)
@pytest.mark.parametrize("whole", [whole_file, whole_folder])
def test_a_disk_that_refuses_is_one_line(tmp_path, whole, number):
    path = tmp_path / "a"
    with pytest.raises(UserError) as caught, whole(path):
        raise OSError(number, os.strerror(number))
    assert str(caught.value) == f"{path}: {REFUSALS[number]}"
    assert names(tmp_path) == []


@pytest.mark.parametrize("number", REFUSALS, ids=errno.errorcode.get)
@pytest.mark.parametrize(("whole", "maker"), [(whole_file, "mkstemp"), (whole_folder, "mkdtemp")])
def test_a_disk_that_refuses_before_the_block_is_one_line(tmp_path, monkeypatch, whole, maker, number):
    def refuse(**_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(artifacts.tempfile, maker, refuse)
    with pytest.raises(UserError) as caught, whole(tmp_path / "a"):
        pytest.fail("the block must not start")
    assert str(caught.value) == f"{tmp_path / 'a'}: {REFUSALS[number]}"


@pytest.mark.parametrize("whole", [whole_file, whole_folder])
def test_a_folder_that_is_a_file_is_one_line(tmp_path, whole):
    (tmp_path / "file").write_text("old")
    with pytest.raises(UserError) as caught, whole(tmp_path / "file" / "a"):
        pass
    assert str(caught.value).startswith(f"{tmp_path / 'file' / 'a'}: cannot be written (")
    assert "\n" not in str(caught.value)


def test_a_full_disk_under_safetensors_is_one_line(tmp_path, monkeypatch):
    import safetensors.torch
    from safetensors import SafetensorError

    def refuse(*_):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(safetensors.torch, "save_file", refuse)
    with pytest.raises(UserError, match=r"a.safetensors: no disk space left"):
        write_tensors(tmp_path / "a.safetensors", {"a": torch.ones(2)})
    assert names(tmp_path) == []


def test_another_error_of_the_disk_stays_what_it_is(tmp_path):
    error = OSError(errno.EIO, "broken")
    with pytest.raises(OSError, match="broken") as caught, whole_file(tmp_path / "a"):
        raise error
    assert caught.value is error
    assert error.__cause__ is None


# JSON


def test_json_comes_back_as_it_was(tmp_path):
    value = {"b": [1, 2.5, None, True], "a": "ä", "path": Path("x/y")}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == {**value, "path": "x/y"}
    assert list(read_json(tmp_path / "a.json")) == ["b", "a", "path"]
    assert "ä" in (tmp_path / "a.json").read_text(encoding="utf-8")


def test_scalars_of_numpy_and_torch_are_numbers(tmp_path):
    write_json(tmp_path / "a.json", [numpy.float64(0.5), numpy.int64(3), torch.tensor(2.5), torch.arange(3)])
    assert read_json(tmp_path / "a.json") == [0.5, 3, 2.5, [0, 1, 2]]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), torch.tensor([1.0, float("nan")])])
def test_what_is_no_number_never_reaches_a_file(tmp_path, value):
    write_json(tmp_path / "a.json", "old")
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"loss": value})
    assert read_json(tmp_path / "a.json") == "old"
    assert names(tmp_path) == ["a.json"]


def test_a_value_without_a_plain_form_is_refused(tmp_path):
    with pytest.raises(TypeError, match="cannot be written as JSON: set"):
        write_json(tmp_path / "a.json", {1, 2})
    assert names(tmp_path) == []


def test_a_file_that_is_no_json_is_refused_with_its_line(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{\n"a": 1,\n"b" 2}')
    with pytest.raises(UserError) as caught:
        read_json(path)
    assert str(caught.value) == f"{path} line 3: not valid JSON (Expecting ':' delimiter)"


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"a.json: no such file"):
        read_json(tmp_path / "a.json")
    (tmp_path / "b.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"b.json: not UTF-8 text"):
        read_json(tmp_path / "b.json")
    with pytest.raises(UserError, match=r"cannot be read \(Is a directory\)"):
        read_json(tmp_path)


# tensors and keys


def test_tensors_come_back_bit_for_bit(tmp_path):
    tensors = {"a": torch.randn(3, 5).T, "b": torch.randn(2, 3).bfloat16(), "c": torch.arange(4)}
    write_tensors(tmp_path / "a.safetensors", tensors, {"made": "here"})
    again = read_tensors(tmp_path / "a.safetensors")
    assert set(again) == set(tensors)
    for name, tensor in tensors.items():
        assert again[name].dtype == tensor.dtype
        assert torch.equal(again[name], tensor)
    assert names(tmp_path) == ["a.safetensors"]


EQUAL = [
    (({"a": 1, "b": 2},), ({"b": 2, "a": 1},)),
    (((1, 2),), ([1, 2],)),
    ((torch.tensor([1, 2]),), ([1, 2],)),
    ((Path("x"),), ("x",)),
]
DIFFERENT = [
    (("a", "b"), ("ab",)),
    (("a", "b"), (["a", "b"],)),
    (("b", "a"), ("a", "b")),
    ((1,), ("1",)),
    ((1,), (True,)),
    ((None,), ("null",)),
    (({"a": 1},), ({"a": 2},)),
    (([1, 2],), ([2, 1],)),
    ((0.1,), (0.1 + 1e-16,)),
]


@pytest.mark.parametrize(("one", "two"), EQUAL)
def test_equal_content_has_one_key(one, two):
    assert key(*one) == key(*two)


@pytest.mark.parametrize(("one", "two"), DIFFERENT)
def test_different_content_has_different_keys(one, two):
    assert json.dumps(one) != json.dumps(two)
    assert key(*one) != key(*two)


def test_a_key_is_the_same_in_every_process():
    # a set of words would be ordered by the process's hash seed; a fixed value shows that nothing of that kind enters
    assert key("semalign", {"b": [1, 2.5], "a": None}) == "6f72d6fd1abcc399"
