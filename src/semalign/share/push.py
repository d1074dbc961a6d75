"""Upload a run's student or adapter to the Hugging Face hub, when asked, and say before what would be sent."""

import os
from dataclasses import dataclass
from pathlib import Path

import huggingface_hub
from huggingface_hub.errors import HFValidationError

from ..artifacts import read_json
from ..errors import UserError
from .card import CARD

Files = tuple[tuple[str, int], ...]


@dataclass(frozen=True, kw_only=True)
class Parcel:
    """What would be sent where."""

    folder: Path
    repo_id: str
    private: bool
    files: Files
    """Names within the folder, with their bytes."""

    @property
    def n_byte(self) -> int:
        return sum(size for _, size in self.files)


def pack(run: Path, repo_id: str, *, private: bool, adapter: bool = False) -> Parcel:
    """Check the run's folder and the name; UserError where there is nothing whole to send. Nothing is sent."""
    folder = run / ("adapter" if adapter else "student")
    if not (run / "record.json").is_file() or not folder.is_dir():
        raise UserError(f"{run}: holds no finished run with {folder.name}/; let it end with 'semalign run' first")
    status = read_json(run / "status.json").get("status") if (run / "status.json").exists() else "done"
    if status != "done":
        raise UserError(f"{run}: the run is {status}, not done; start it again with 'semalign run'")
    try:
        huggingface_hub.utils.validate_repo_id(repo_id)
    except HFValidationError as error:
        raise UserError(f"'{repo_id}' is no name for the hub ({_line(error)}); give NAME or OWNER/NAME") from None
    links = sorted(path for path in folder.rglob("*") if path.is_symlink())
    if links:  # what it stands for need not be in the folder, nor meant for anybody
        raise UserError(f"{links[0]}: {links[0].name} is a link; put the file itself in its place")
    found = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    if folder / CARD not in found:
        raise UserError(f"{folder}: has no {CARD}; write it with 'semalign report {run}'")
    files = tuple((str(path.relative_to(folder)), path.stat().st_size) for path in found)
    return Parcel(folder=folder, repo_id=repo_id, private=private, files=files)


def check_token() -> None:
    """UserError where the hub is switched off, or nobody is logged in."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
        raise UserError("HF_HUB_OFFLINE is set, so nothing can be sent; unset it")
    if huggingface_hub.get_token() is None:
        raise UserError("no token for the hub: run 'hf auth login', or set HF_TOKEN")


def send(parcel: Parcel, *, update: bool = False) -> str:
    """Upload; the address of the commit. A model that is there already is only changed with `update`.

    Raises UserError for what the hub refuses.
    """
    check_token()
    api = huggingface_hub.HfApi()
    try:
        exists = api.repo_exists(parcel.repo_id)
        if exists and not update:
            raise UserError(
                f"{parcel.repo_id}: exists on the hub; choose another name, or --update to add a commit to it"
            )
        if not exists:
            api.create_repo(parcel.repo_id, private=parcel.private)
        commit = api.upload_folder(
            repo_id=parcel.repo_id,
            folder_path=parcel.folder,
            allow_patterns=[name for name, _ in parcel.files],
            commit_message=f"Upload {parcel.folder.name} made with semalign",
        )
    except UserError:
        raise
    except Exception as error:  # network, permission and hub errors share no base class
        raise UserError(f"{parcel.repo_id}: the hub refused it ({_line(error)})") from None
    return str(getattr(commit, "commit_url", parcel.repo_id))


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
