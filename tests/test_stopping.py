"""Signals: the first ends the step, the second stops at once, and what must be written whole is."""

import os
import signal

import pytest

from semalign import stopping


@pytest.fixture(autouse=True)
def in_the_foreground():
    """A shell that starts the tests in the background has them ignore SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def send(number=signal.SIGTERM):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", stopping.SIGNALS)
def test_outside_a_training_a_signal_is_an_interrupt(number):
    with pytest.raises(KeyboardInterrupt), stopping.listening():
        send(number)
    assert not stopping.asked()


def test_in_a_training_the_first_signal_is_noted_and_the_second_stops_at_once(capfd):
    with stopping.listening(), stopping.at_step_ends():
        send()
        assert stopping.asked()
        assert "stopping after this step" in capfd.readouterr().err
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)
        assert capfd.readouterr().err == ""
        stopping._state.asked = False  # it would stop what comes behind


def test_a_signal_that_a_training_did_not_look_at_stops_behind_it():
    with stopping.listening():
        training = stopping.at_step_ends()
        training.__enter__()
        send()
        with pytest.raises(KeyboardInterrupt):
            training.__exit__(None, None, None)


def test_nothing_stops_what_is_shielded():
    with stopping.listening():
        with stopping.shielded():
            send()
            send()
        with pytest.raises(KeyboardInterrupt):
            stopping.check()


def test_handlers_are_as_before_afterwards():
    before = [signal.getsignal(number) for number in stopping.SIGNALS]
    with stopping.listening(), stopping.listening():
        assert [signal.getsignal(number) for number in stopping.SIGNALS] != before
    assert [signal.getsignal(number) for number in stopping.SIGNALS] == before


def test_a_signal_that_was_ignored_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stopping.listening():
            send(signal.SIGINT)
            assert not stopping.asked()
    finally:
        signal.signal(signal.SIGINT, before)
