"""Nothing is sent or fetched unless a configuration names the hub or a tracker: a run with the network blocked."""

import socket

import huggingface_hub.constants
import pytest
from tiny_run import config_of


@pytest.fixture
def calls(monkeypatch):
    """Every try to reach another machine; each is refused. The hub's offline switches are off."""
    tried = []

    def refuse(*arguments, **_options):
        tried.append(arguments)
        raise OSError(101, "the network is blocked")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    return tried


def test_the_block_blocks(calls):
    with pytest.raises(OSError, match="the network is blocked"):
        socket.create_connection(("localhost", 9))
    with pytest.raises(OSError, match="the network is blocked"):
        socket.socket().connect(("localhost", 9))
    assert len(calls) == 2


@pytest.mark.slow
def test_a_run_its_report_and_its_examination_stay_at_home(calls, world, tmp_path, say):
    config, out = config_of(world), tmp_path / "out"
    for verb, *options in (
        ("run", config, "--out", out, "--plain"),
        ("report", out),
        ("doctor", config, "--plain"),
        ("pair", config, "--plain"),
    ):
        said = say(verb, *options)
        assert said.code in (0, 1), said.err  # 1: the doctor has warnings
        assert "unexpected" not in said.err
    assert (out / "report.html").exists()
    assert calls == []


def test_a_model_of_the_hub_is_asked_for_and_refused_in_a_line(calls, world, tmp_path, say, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "DEFAULT_ETAG_TIMEOUT", 1)
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _seconds: None)
    config = config_of(world, student="org/student")
    said = say("run", config, "--out", tmp_path / "out", "--plain")
    assert (said.code, len(said.complaint)) == (2, 1)
    assert said.complaint[0].startswith("semalign: org/student: no usable model configuration (")
    assert calls
