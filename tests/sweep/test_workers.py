"""Workers: every item is answered once, in an order that respects what must come first; a dead worker is replaced."""

import os
import signal
import time

import pytest

from semalign.sweep.workers import run_all

pytestmark = pytest.mark.slow  # each process imports torch


def work(item):
    if item == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.05)
    return f"{item} in {os.getpid()}"


def anything(_item, _open):
    return True


def test_every_item_is_answered_once_and_workers_stay():
    items = [f"item {i}" for i in range(7)]
    answers = dict(run_all(items, work, 2, anything))
    assert answers.keys() == set(items)
    assert all(answer.startswith(f"{item} in ") for item, answer in answers.items())
    processes = {answer.split()[-1] for answer in answers.values()}
    assert len(processes) == 2
    assert str(os.getpid()) not in processes


def test_a_worker_that_dies_is_one_failure():
    answers = dict(run_all(["a", "die", "b", "c"], work, 1, anything))
    assert answers["die"].startswith("the process ended with code -9")
    assert all(answers[item].startswith(item) for item in "abc")


def test_an_item_waits_for_what_comes_first():
    items = ["late", "first", "second"]
    order = [item for item, _ in run_all(items, work, 2, lambda item, still: item != "late" or not {1, 2} & still)]
    assert order[-1] == "late"
