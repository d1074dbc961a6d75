"""The figures of docs/performance.md from results/latest.json: `python benchmarks/plots.py`; `make bench` ends with it.

A figure whose benchmark has not run is left as it is.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from semalign.artifacts import read_json

HERE = Path(__file__).parent
SOUGHT = {
    "step_vs_bare": 1.05,
    "memory_vs_bare": 1.0,
    "step_vs_trl_gkd": 0.85,
    "cached_epoch_vs_online": 0.5,
    "v1_step_vs_full_lora": 0.7,
    "frontier_cached_vs_naive": 0.6,
    "loss_memory_49152": 0.25,
    "loss_memory_151936": 0.25,
    "loss_time_49152": 1.1,
    "loss_time_151936": 1.1,
    "basis_time_vs_pinv64": 0.25,
    "basis_memory_vs_pinv64": 0.125,
}
"""Ratios that have a goal, which issue and docs name."""
QUANTITIES = {"rows": "rows of a batch", "pairs": "paired layers", "n_token": "vocabulary", "width": "width"}
STYLE: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "semalign", "font.size": 9, "axes.spines.top": False}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=HERE / "results" / "latest.json")
    parser.add_argument("--out", type=Path, default=HERE.parent / "docs" / "images")
    options = parser.parse_args()
    for path in drawn(read_json(options.results), options.out):
        print(path)
    return 0


def drawn(latest: Mapping[str, Any], folder: Path) -> list[Path]:
    """The files that were written."""
    said = {name: entry["lines"] for name, entry in latest["said"].items()}
    folder.mkdir(parents=True, exist_ok=True)
    figures: list[tuple[str, int, Callable[..., None], Any]] = [("ratios", 1, _ratios, latest["ratios"])]
    figures += [
        (name, n_panel, draw, said[name])
        for name, n_panel, draw in (("rivals", 2, _rivals), ("growth", 2, _growth), ("flops", 1, _flops))
        if name in said
    ]
    paths = []
    with plt.rc_context(STYLE):
        for name, n_panel, draw, values in figures:
            figure, axes = plt.subplots(1, n_panel, figsize=(7.5, 3.4), layout="constrained")
            draw(axes, values)
            paths.append(folder / f"performance-{name}.svg")
            figure.savefig(paths[-1], metadata={"Date": None})
            plt.close(figure)
    return paths


def _ratios(axis: Axes, ratios: Mapping[str, float]) -> None:
    """Measured over sought: left of the line a goal is met."""
    names = [name for name in SOUGHT if name in ratios][::-1]
    shares = [ratios[name] / SOUGHT[name] for name in names]
    bars = axis.barh(names, shares, color=["tab:blue" if share <= 1 else "tab:red" for share in shares])
    axis.bar_label(bars, [f" {ratios[name]:.3g} of {SOUGHT[name]:g}" for name in names], fontsize=7)
    axis.axvline(1, color="black", linewidth=0.8)
    axis.set(xlabel="measured over sought", xlim=(0, 1.35 * max(1, *shares)))
    axis.tick_params(axis="y", labelsize=7)


def _rivals(axes: Any, lines: list[dict[str, Any]]) -> None:
    names = [line["case"] for line in lines]
    for axis, of, scale, label in (
        (axes[0], "seconds", 1, "CPU seconds a step"),
        (axes[1], "peak_bytes", 2**20, "peak over the models, MiB"),
    ):
        for shift, by, color in ((-0.2, "ours", "tab:blue"), (0.2, "theirs", "tab:gray")):
            values = [line[of][by] / scale for line in lines]
            axis.bar([i + shift for i in range(len(names))], values, 0.4, label=by, color=color)
        axis.set_xticks(range(len(names)), names, fontsize=7)
        axis.set_ylabel(label)
    axes[0].legend(frameon=False, labels=["semalign", "the rival"])


def _growth(axes: Any, lines: list[dict[str, Any]]) -> None:
    for axis, of, label in ((axes[0], "seconds", "time"), (axes[1], "peak_bytes", "memory")):
        for line in lines:
            factors = [size / line["sizes"][0] for size in line["sizes"]]
            values = [value / line[of][0] for value in line[of]]
            slope = line[f"{'time' if of == 'seconds' else 'memory'}_exponent"]
            axis.plot(factors, values, marker="o", markersize=3, label=f"{QUANTITIES[line['quantity']]}: {slope:.2f}")
        axis.set(xscale="log", yscale="log", xlabel="size over the smallest", ylabel=f"{label} over the smallest")
        axis.legend(frameon=False, fontsize=7, title="exponent", title_fontsize=7)


def _flops(axis: Axes, lines: list[dict[str, Any]]) -> None:
    stages = lines[0]["stages"][::-1]
    bars = axis.barh([stage["name"] for stage in stages], [stage["share"] for stage in stages], color="tab:blue")
    labels = [f" {stage['flops'] / 1e9:.0f} GFLOP, {stage['dtype']}" for stage in stages]
    axis.bar_label(bars, labels, fontsize=7)
    axis.set(xlabel="share of the machine's matmul rate", xlim=(0, 1.25))


if __name__ == "__main__":
    sys.exit(main())
