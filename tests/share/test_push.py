"""Pushing: only when asked, what is sent is shown first, one line for every refusal; against a hub in memory."""

import io
import json

import huggingface_hub
import pytest
from hub import log_in

from semalign.errors import UserError
from semalign.share import pack, send


@pytest.fixture
def hub(monkeypatch):
    return log_in(monkeypatch)


@pytest.fixture
def finished(tmp_path):
    for form in ("student", "adapter"):
        (tmp_path / form).mkdir()
        for name in ("README.md", "config.json", ".hidden"):
            (tmp_path / form / name).write_text(form, encoding="utf-8")
    (tmp_path / "record.json").write_text("{}", encoding="utf-8")
    (tmp_path / "status.json").write_text(json.dumps({"status": "done"}), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("form", ["student", "adapter"])
def test_what_is_shown_is_what_is_sent(hub, finished, form, say):
    options = ["--adapter"] if form == "adapter" else []
    said = say("push", finished, "me/small", "--private", "--yes", *options)
    assert (said.code, said.err) == (0, "")
    assert hub.models == {"me/small": True}
    ((repo, folder, files, message),) = hub.sent
    assert (repo, folder, files) == ("me/small", finished / form, ("README.md", "config.json"))
    assert form in message
    assert all(name in said.out for name in files)
    assert ".hidden" not in said.out
    assert "to the hub as me/small, private" in said.out


@pytest.mark.parametrize("answered", [("y\n", 1), ("n\n", 0), ("", 0)])
def test_it_asks_and_takes_no_for_an_answer(hub, finished, answered, say, monkeypatch):
    answer, n_sent = answered
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    code = say("push", finished, "me/small").code
    assert (len(hub.sent), code == 0) == (n_sent, n_sent == 1)


def test_a_model_on_the_hub_is_not_overwritten_unasked(hub, finished):
    hub.models["me/small"] = False
    parcel = pack(finished, "me/small", private=False)
    with pytest.raises(UserError, match="me/small: exists on the hub"):
        send(parcel)
    assert not hub.sent
    assert send(parcel, update=True) == "hub/me/small/commit/1"


def test_without_a_token_nothing_is_asked_of_the_hub(hub, finished, monkeypatch, say):
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    said = say("push", finished, "me/small", "--yes")
    assert said.code == 2
    assert said.err == "semalign: no token for the hub: run 'hf auth login', or set HF_TOKEN\n"
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "HF_HUB_OFFLINE is set" in say("push", finished, "me/small", "--yes").err
    assert not hub.models


def test_what_the_hub_refuses_is_one_line(hub, finished):
    hub.broken = "503:\nnobody home"
    with pytest.raises(UserError, match=r"^me/small: the hub refused it \(503: nobody home\)$"):
        send(pack(finished, "me/small", private=False))


def test_there_must_be_something_whole_to_send(hub, finished, tmp_path):
    with pytest.raises(UserError, match="'a//b' is no name for the hub"):
        pack(finished, "a//b", private=False)
    (finished / "student" / "README.md").unlink()
    with pytest.raises(UserError, match=r"has no README.md; write it with 'semalign report"):
        pack(finished, "me/small", private=False)
    (finished / "status.json").write_text(json.dumps({"status": "failed"}), encoding="utf-8")
    with pytest.raises(UserError, match="the run is failed, not done"):
        pack(finished, "me/small", private=False)
    with pytest.raises(UserError, match="holds no finished run"):
        pack(tmp_path / "none", "me/small", private=False)
