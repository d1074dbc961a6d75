"""All benchmarks, one after the other, and their figures in one file: `python benchmarks/run.py`, or `make bench`.

Each script runs in a process of its own; results/latest.json keeps the figures (docs/performance.md says what each is)
and what every script said. With names, only those run, and the other figures stay as they are in the file.
"""

import argparse
import datetime
import json
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers

from semalign import __version__
from semalign.artifacts import read_json, write_json

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "latest.json"

Said = Sequence[dict[str, Any]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(SCRIPTS)}; all of them without one")
    options = parser.parse_args()
    if unknown := set(options.names) - set(SCRIPTS):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(SCRIPTS)}")
    latest = read_json(RESULTS) if RESULTS.exists() else {}
    for name in options.names or SCRIPTS:
        measure, figures = SCRIPTS[name]
        said = measure()
        for kind, values in figures(said).items():
            latest[kind] = latest.get(kind, {}) | values
        load = os.getloadavg()[1]
        latest["said"] = latest.get("said", {}) | {name: {"date": _now(), "load": load, "lines": said}}
        latest["versions"] = {
            "semalign": __version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "python": platform.python_version(),
            "machine": platform.machine(),
        }
        latest["date"] = _now()
        write_json(RESULTS, latest)
        print(name, json.dumps(figures(said)), flush=True)
    return 0


def script(name: str, *options: str) -> Callable[[], Said]:
    def measure() -> Said:
        done = subprocess.run(
            [sys.executable, str(HERE / f"{name}.py"), *options],
            check=True,
            stdout=subprocess.PIPE,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        return [json.loads(line) for line in done.stdout.splitlines() if line.startswith(b"{")]

    return measure


def help_seconds() -> Said:
    """CPU seconds of `semalign --help`, the least of five: the others waited for the disk."""
    command = [str(Path(sys.executable).parent / "semalign"), "--help"]
    runs = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        runs.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return [{"seconds": runs, "least": min(runs)}]


def _losses(said: Said) -> dict[str, Any]:
    by_size = {line["n_token"]: line for line in said}
    memory = {f"loss_memory_{n}": line["memory"] for n, line in by_size.items()}
    return {"ratios": memory | {f"loss_time_{n}": line["time"]["ratio"] for n, line in by_size.items()}}


def _step(said: Said) -> dict[str, Any]:
    (line,) = said
    v1 = line["v1_step_vs_full_lora"]
    return {
        "ratios": {
            "step_vs_bare": line["step_vs_bare"]["ratio"],
            "memory_vs_bare": line["memory_vs_bare"],
            "v1_step_vs_full_lora": v1["cached"]["ratio"],
            "v1_online_step_vs_full_lora": v1["online"]["ratio"],
        }
    }


def _basis(said: Said) -> dict[str, Any]:
    (line,) = said
    ratios = {name: line[name] for name in ("basis_time_vs_pinv64", "basis_memory_vs_pinv64")}
    return {"ratios": ratios, "values": {name: line[name] for name in ("basis_error", "pinv32_error")}}


def _cache(said: Said) -> dict[str, Any]:
    (line,) = said
    name = "cache_bytes_per_token_and_pair"
    return {"ratios": {"cached_epoch_vs_online": line["cached_epoch_vs_online"]}, "values": {name: line[name]}}


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


SCRIPTS: dict[str, tuple[Callable[[], Said], Callable[[Said], dict[str, Any]]]] = {
    "help": (help_seconds, lambda said: {"values": {"help_cpu_s": said[0]["least"]}}),
    "step": (script("step", "--rounds", "3"), _step),
    "losses": (script("losses", "--vocabulary", "49152"), _losses),
    "losses-large": (script("losses", "--vocabulary", "151936"), _losses),
    "basis": (script("basis"), _basis),
    "padding": (script("padding"), lambda said: {"ratios": {"padded_epoch": said[0]["epoch"]["ratio"]}}),
    "frontier": (
        script("frontier", "--rounds", "3"),
        lambda said: {"ratios": {"frontier_cached_vs_naive": max(line["ratio"] for line in said)}},
    ),
    "seeking": (
        script("seeking_search", "--role", "o"),
        lambda said: {"values": {"seeking_search_s": said[0]["seconds"]}},
    ),
    "cache": (script("cache"), _cache),
}


if __name__ == "__main__":
    sys.exit(main())
