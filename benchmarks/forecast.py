"""What `semalign doctor` forecasts beside what the run takes: `python benchmarks/forecast.py CONFIG`, one JSON line.

Both are CPU seconds of one thread, each in a process of its own, so that other work on the machine is not counted.
Benchmarks and the export are not forecast and left out.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--out", type=Path, help="keep the run here")
    parser.add_argument("--side", choices=("doctor", "run"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        print(json.dumps(side(options)), flush=True)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        out = options.out or Path(folder) / "run"
        forecast, taken = (apart([*sys.argv[1:], "--out", str(out), "--side", name]) for name in ("doctor", "run"))
    print(json.dumps({"config": str(options.config), **compared(forecast, taken)}), flush=True)
    return 0


def apart(arguments: list[str]) -> dict[str, Any]:
    """What one side says in a process of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run([sys.executable, __file__, *arguments], check=True, stdout=subprocess.PIPE, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def side(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds and peak bytes of each stage."""
    time.perf_counter = time.process_time
    torch.set_num_threads(1)
    from semalign.doctor import examine
    from semalign.pipeline import run
    from semalign.progress import Reporter

    if options.side == "doctor":
        stages = examine(options.config, options.overrides).plain()["stages"]
        return {stage["stage"]: {name: stage[name] for name in ("seconds", "peak_bytes")} for stage in stages}
    folder = run(options.config, options.out, overrides=options.overrides, reporter=Reporter(quiet=True))
    return json.loads((folder / "stages.json").read_text("utf-8"))


def compared(forecast: dict[str, Any], taken: dict[str, Any]) -> dict[str, Any]:
    """Forecast over measured: of the sum of the seconds, of the largest peak, and of every stage."""
    stages = {
        name: {of: stage[of] / max(taken[name][of], 1e-9) for of in ("seconds", "peak_bytes")}
        | {"measured_seconds": taken[name]["seconds"]}
        for name, stage in forecast.items()
        if name in taken
    }
    total = [sum(sides[name]["seconds"] for name in stages) for sides in (forecast, taken)]
    peak = [max(sides[name]["peak_bytes"] for name in stages) for sides in (forecast, taken)]
    return {
        "seconds": total[0] / total[1],
        "peak_bytes": peak[0] / peak[1],
        "measured": {"seconds": total[1], "peak_bytes": peak[1]},
        "not_forecast": sorted(set(taken) - set(forecast)),
        "stages": stages,
    }


if __name__ == "__main__":
    sys.exit(main())
