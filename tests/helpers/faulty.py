"""The command line in a process that is killed, or sent a signal, at a chosen moment; see tests/faults.

Importing everything takes far longer than a tiny run, so processes are forked from a server that has imported it all.
"""

import contextlib
import json
import multiprocessing
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import lm_eval.api.task
import lm_eval.evaluator
import peft
import torch
import transformers.models.llama.modeling_llama

import semalign.pipeline
import semalign.report.page
from semalign import cli
from semalign.strategy import KINDS, available

with contextlib.suppress(ImportError):  # peft looks for bitsandbytes at the first adapter
    import peft.tuners.lora.bnb

WARM = (lm_eval, peft, transformers, semalign.pipeline, [available(kind) for kind in KINDS])
WRITES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "shutil.rmtree"}


@dataclass(frozen=True)
class Fault:
    """`number` is sent at the `at`th time that the run is about to change something in its folder."""

    at: int
    number: int = signal.SIGKILL
    cut: bool = False
    """Whether half a line is written first where a file is opened for writing."""
    error: int = 0
    """In place of a signal: from then on the disk refuses whatever adds to it with this error, but for status.json."""


def start(config, out, log, fault=None):
    """A process at work on a run; `log` gets what it changed on disk, in order, if it ends well."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["faulty"])
    process = context.Process(target=_run, args=(config, out, log, fault))
    process.start()
    return process


def finish(*args, **options):
    """The exit code of such a process; minus the signal that killed it."""
    process = start(*args, **options)
    process.join()
    return process.exitcode


def _run(config, out, log, fault):
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
    semalign.report.page._pictures = lambda *_given: {}  # drawing takes as long as all the rest, and writes nothing
    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), 1)
        with open(f"{log}.err", "a") as errors:
            os.dup2(errors.fileno(), 2)
    changes, inside = [], str(out)

    def watch(event, args):
        change = _change(event, args, inside)
        if change is None:
            return
        changes.append(change)
        if fault is None or len(changes) < fault.at:
            return
        if fault.error and event in ("open", "os.mkdir", "os.rename") and "status.json" not in change:
            raise OSError(fault.error, os.strerror(fault.error))
        if fault.error or len(changes) > fault.at:
            return
        if fault.cut and event == "open":
            descriptor = os.open(args[0], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(descriptor, b'{"cut')
        os.kill(os.getpid(), fault.number)

    sys.addaudithook(watch)
    sys.argv = ["semalign", "run", str(config), "--out", str(out), "--plain"]
    try:
        cli.main()
    finally:
        if sys.exc_info()[1] is None or getattr(sys.exc_info()[1], "code", 1) == 0:
            Path(log).write_text(json.dumps(changes))


def _change(event, args, inside):
    """What an audit event is about to change in a folder; None where it changes nothing there."""
    if event == "open":
        path, mode, flags = args
        writes = any(letter in mode for letter in "wax+") if mode else flags & (os.O_WRONLY | os.O_RDWR)
        return f"open {path}" if writes and str(path).startswith(inside) else None
    if event not in WRITES:
        return None
    relative = event in ("os.remove", "os.rmdir") and args[-1] != -1  # a tree is removed name by name
    return f"{event} {args[0]}" if relative or str(args[0]).startswith(inside) else None
