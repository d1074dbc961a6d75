"""A hub in memory that stands for huggingface_hub's HfApi."""

import huggingface_hub


class Hub:
    """Which models there are, and what was sent."""

    def __init__(self):
        self.models, self.sent, self.broken = {}, [], None

    def repo_exists(self, repo_id):
        if self.broken:
            raise OSError(self.broken)
        return repo_id in self.models

    def create_repo(self, repo_id, *, private):
        self.models[repo_id] = private

    def upload_folder(self, *, repo_id, folder_path, allow_patterns, commit_message):
        assert repo_id in self.models
        self.sent.append((repo_id, folder_path, tuple(allow_patterns), commit_message))
        return type("Commit", (), {"commit_url": f"hub/{repo_id}/commit/1"})()


def log_in(monkeypatch):
    """A hub that takes what is sent from here on, and a token for it."""
    hub = Hub()
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: hub)
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: "a token")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    return hub
