"""Command lines of the pages, typed into a folder: exit code and what was said."""

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from typing import NamedTuple

from fenced import words

from semalign import cli

MODULES = {"torchrun": "torch.distributed.run", "accelerate": "accelerate.commands.accelerate_cli"}
N_PROCESS, N_SEED = 2, 2


class Typed(NamedTuple):
    code: int
    said: str


def type_in(command, patch):
    """In the current folder. Launchers start two processes and sweeps take at most two seeds, whatever the page says; a
    question is answered with yes."""
    command = re.sub(r"--seeds \d+", f"--seeds {N_SEED}", command)
    program, *rest = words(os.path.expandvars(command))
    if program in MODULES:
        return _launched(program, rest)
    assert program == "semalign", command
    if rest[0].startswith("--"):
        return _in_a_shell(rest)
    said = io.StringIO()
    patch.setattr("sys.argv", [program, *rest])
    patch.setattr("sys.stdin", io.StringIO("y\n"))
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            cli.main()
        except SystemExit as stop:
            return Typed(int(stop.code or 0), said.getvalue())
    raise AssertionError("main leaves by SystemExit")


def _launched(program, rest):
    given = " ".join(["", *rest])
    rest = re.sub(r"(--nproc_per_node) \d+", rf"\1 {N_PROCESS} --standalone", given).split()
    return _process([sys.executable, "-m", MODULES[program], *rest], CUDA_VISIBLE_DEVICES="")


def _in_a_shell(rest):
    """Completion is installed for the shell that the command was typed into, in its user's home."""
    line = shlex.join([sys.executable, "-m", "semalign", *rest])
    return _process(["bash", "-c", f"{line}; exit $?"], HOME=os.getcwd())


def _process(arguments, **environment):
    done = subprocess.run(
        arguments,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )
    return Typed(done.returncode, done.stdout)
