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
    for name in options.names or SCRIPTS:
        said = SCRIPTS[name][0]()
        record(RESULTS, name, said)
        print(name, json.dumps(SCRIPTS[name][1](said)), flush=True)
    return 0


def record(path: Path, name: str, said: Said) -> None:
    """Put the figures of one script into the file; all others stay as they are."""
    latest = read_json(path) if path.exists() else {}
    versions = {
        "semalign": __version__,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
    }
    heard = {name: {"date": _now(), "load": os.getloadavg()[1], "lines": said}}
    for kind, values in [("versions", versions), ("said", heard), *SCRIPTS[name][1](said).items()]:
        latest[kind] = latest.get(kind, {}) | values
    latest["date"] = _now()
    write_json(path, latest)


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


def command_seconds(*arguments: str) -> Callable[[], Said]:
    """CPU seconds of a semalign command, the least of five: the others waited for the disk."""

    def measure() -> Said:
        command = [str(Path(sys.executable).parent / "semalign"), *arguments]
        runs = []
        for _ in range(5):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            runs.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        return [{"seconds": runs, "least": min(runs)}]

    return measure


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


def _growth(said: Said) -> dict[str, Any]:
    return {
        "values": {
            f"{of}_exponent_{line['quantity']}": line[f"{of}_exponent"] for line in said for of in ("time", "memory")
        }
    }


def _rivals(said: Said) -> dict[str, Any]:
    """Versions that both sides name are those of the file; the rivals' own are added."""
    names = {line["case"]: RIVALS[line["case"]] for line in said}
    theirs = {line["case"]: line["versions"]["theirs"] for line in said}
    return {
        "ratios": {f"{of}_vs_{names[line['case']]}": line[of] for line in said for of in ("step", "memory")},
        "versions": {
            f"{package} of {names[case]}": version
            for case, versions in theirs.items()
            for package, version in versions.items()
        },
    }


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


RIVALS = {
    "gkd-smollm2": "trl_gkd",
    "gkd": "trl_gkd_8000",
    "gkd-49152": "trl_gkd_49152",
    "sft": "trl_sft_8000",
    "sft-49152": "trl_sft_49152",
    "distillkit": "distillkit",
}
FRONTIER = {
    ("cached", "layer loss alone"): "frontier_cached_vs_naive",
    ("cached", "with KL at the output"): "frontier_kl_cached_vs_naive",
    ("online", "layer loss alone"): "frontier_online_cached_vs_naive",
    ("online", "with KL at the output"): "frontier_online_kl_cached_vs_naive",
}
SCRIPTS: dict[str, tuple[Callable[[], Said], Callable[[Said], dict[str, Any]]]] = {
    "help": (command_seconds("--help"), lambda said: {"values": {"help_cpu_s": said[0]["least"]}}),
    "ls": (command_seconds("ls"), lambda said: {"values": {"ls_cpu_s": said[0]["least"]}}),
    "step": (script("step", "--rounds", "3"), _step),
    "losses": (script("losses", "--vocabulary", "49152"), _losses),
    "losses-large": (script("losses", "--vocabulary", "151936"), _losses),
    "basis": (script("basis"), _basis),
    "padding": (script("padding"), lambda said: {"ratios": {"padded_epoch": said[0]["epoch"]["ratio"]}}),
    "frontier": (
        script("frontier", "--rounds", "3"),
        lambda said: {"ratios": {FRONTIER[line["teacher"], line["case"]]: line["ratio"] for line in said}},
    ),
    "seeking": (
        script("seeking_search", "--role", "o"),
        lambda said: {"values": {"seeking_search_s": said[0]["seconds"]}},
    ),
    "cache": (script("cache"), _cache),
    "flops": (script("flops"), lambda said: {"values": {"share_of_matmul_rate": said[0]["share_of_matmul_rate"]}}),
    "growth": (script("growth"), _growth),
    "rivals": (script("rivals"), _rivals),
}


if __name__ == "__main__":
    sys.exit(main())
