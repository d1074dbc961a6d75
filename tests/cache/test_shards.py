"""Rows on disk: what is written comes back, whichever byte changes is found, and precisions err by what they say."""

import pytest
import torch

from semalign.artifacts import key
from semalign.cache import Shards, n_byte, pack, unpack
from semalign.errors import UserError

NAMES = ("state.1", "state.1.scale", "top.token")


def rows(n, *, first=0):
    generator = torch.Generator().manual_seed(first)
    return {
        key(first + i): {
            "state.1": torch.randint(-127, 128, (2 + i, 5), generator=generator, dtype=torch.int8),
            "state.1.scale": torch.rand(2 + i, generator=generator),
            "top.token": torch.randint(0, 99, (2 + i, 3), generator=generator, dtype=torch.int32),
        }
        for i in range(n)
    }


def assert_holds(shards, written):
    for content, row in written.items():
        again = shards.read(content, NAMES)
        assert again.keys() == row.keys()
        assert all(torch.equal(again[name], row[name]) for name in row)


def test_rows_come_back_from_several_shards(tmp_path):
    first, second = rows(3), rows(4, first=10)
    shards = Shards(tmp_path)
    shards.write(first)
    shards.write(second)
    for seen in (shards, Shards(tmp_path)):
        assert_holds(seen, first | second)
        assert key("another") not in seen
    assert len(list(tmp_path.iterdir())) == 2


def test_some_tensors_of_a_row_can_be_read_alone(tmp_path):
    written = rows(2)
    Shards(tmp_path).write(written)
    content = next(iter(written))
    assert Shards(tmp_path).read(content, ["top.token"]).keys() == {"top.token"}


def test_two_writers_of_one_folder_do_not_meet(tmp_path):
    a, b = Shards(tmp_path), Shards(tmp_path)
    a.write(rows(3))
    b.write(rows(2, first=10))
    a.write(rows(2, first=20))
    assert_holds(Shards(tmp_path), rows(3) | rows(2, first=10) | rows(2, first=20))


def test_whichever_byte_changes_no_wrong_row_is_read(tmp_path):
    written = rows(3)
    Shards(tmp_path).write(written)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    n_found, lines = 0, set()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        shards = Shards(tmp_path)
        n_found += bool(shards.unreadable)
        for content, row in written.items():
            if content not in shards:  # the key was changed, or nothing can be read
                n_found += 1
                continue
            try:
                again = shards.read(content, NAMES)
            except UserError as error:
                lines.add(str(error).partition(" (")[0])
                n_found += 1
            else:
                assert all(torch.equal(again[name], row[name]) for name in row)
    assert lines == {f"{path}: damaged"}
    # what may change without a trace: spaces behind the header, and its name for who wrote it
    assert n_found >= len(whole) - 40


def test_a_shard_that_was_cut_off_is_unreadable(tmp_path):
    Shards(tmp_path).write(rows(3))
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-7])
    assert Shards(tmp_path).unreadable == [path]


def test_files_with_a_damaged_row_are_dropped_and_the_others_kept(tmp_path):
    shards, good, bad = Shards(tmp_path), rows(3), rows(3, first=10)
    shards.write(good)
    (kept,) = tmp_path.iterdir()
    shards.write(bad)
    (path,) = set(tmp_path.iterdir()) - {kept}
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    again = Shards(tmp_path)
    assert again.drop_damaged([*good, *bad], NAMES) == [path]
    assert_holds(again, good)
    assert not any(content in again for content in bad)
    assert list(tmp_path.iterdir()) == [kept]
    assert again.drop_damaged([*good, *bad], NAMES) == []


def test_float32_is_exact_and_the_others_err_by_no_more_than_they_say():
    h = torch.randn(37, 23) * torch.logspace(-6, 6, 37).unsqueeze(-1)
    h[:, 4] *= 100  # as in language models, one coordinate is far larger than the others
    assert torch.equal(unpack("h", pack("h", h, "float32"), torch.float32), h)
    error = (unpack("h", pack("h", h, "bfloat16"), torch.float32) - h).abs()
    assert (error <= h.abs() * 2**-8).all()
    error = (unpack("h", pack("h", h, "int8"), torch.float32) - h).abs()
    bound = h.abs().amax(-1, keepdim=True) / 254
    assert (error <= bound * (1 + 1e-5)).all()
    assert (error > bound / 2).any()  # the bound is no empty promise


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
def test_states_of_zero_and_states_that_are_not_finite_stay_what_they_are(precision):
    h = torch.tensor([[0.0, 0.0], [1.0, torch.inf], [torch.nan, 1.0], [2.0, -1.0]])
    again = unpack("h", pack("h", h, precision), torch.float32)
    assert torch.equal(again[0], h[0])
    assert torch.isfinite(again).all(-1).tolist() == [True, False, False, True]


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_bytes_of_a_state_are_those_that_are_said(precision, dtype):
    packed = pack("h", torch.randn(7, 11, dtype=dtype), precision)
    assert sum(x.numel() * x.element_size() for x in packed.values()) == 7 * n_byte(11, precision)
    assert unpack("h", packed, dtype).dtype == dtype
