"""A realistic record of a run; `python tests/report/conftest.py` writes record.json from `build`."""

import copy
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from answered import write_answers
from chrome import Chrome

RECORD = Path(__file__).with_name("record.json")
SCORES = {  # task: student, SFT, SemAlign, teacher, adapted teacher
    "facts": (0.42, 0.55, 0.58, 0.81, 0.83),
    "arithmetic": (0.18, 0.41, 0.56, 0.72, 0.74),
    "lists": (0.22, 0.47, 0.52, 0.69, 0.70),
    "strings": (0.30, 0.62, 0.66, 0.64, 0.69),
}
KEYS = ("student", "sft", "semalign", "teacher", "teacher_adapted")
LABELS = ("student before", "LoRA-SFT", "SemAlign", "teacher", "teacher, adapted")
ROLES = ("before", "control", "method", "teacher", "teacher")
METHOD = {
    "name": "semalign",
    "attribution": {"name": "gradient_x_activation"},
    "pairing": {"name": "critical", "count": 2},
    "schedule": {"name": "frontier"},
    "site": "mlp_out",
}


def build() -> dict[str, Any]:
    """A run on the embedded pair: 12 teacher layers, 4 student layers, four tasks of 100 test rows."""
    means = {key: sum(row[i] for row in SCORES.values()) / 4 for i, key in enumerate(KEYS)}
    gaps = {key: sum(abs(row[i] - row[3]) for row in SCORES.values()) / 4 for i, key in enumerate(KEYS)}
    return {
        "name": "quickstart",
        "command": "semalign quickstart --out demo",
        "started": "2026-06-01T10:00:00+00:00",
        "seconds": 96.4,
        "peak_bytes": 812_646_400,
        "config": "teacher: embedded:teacher\nstudent: embedded:student\nmethod:\n  name: semalign\nseed: 0\n",
        "environment": {
            "python": "3.11.9",
            "platform": "Linux x86_64",
            "threads": 2,
            "device": "cpu",
            "versions": {"semalign": "0.1.0", "torch": "2.13.0", "transformers": "5.23.0"},
            "commit": "0123abc",
        },
        "tasks": [
            {
                "name": task,
                "metric": "exact_match",
                "rows": {
                    split: {
                        "rows": n,
                        "tokens": 41 * n + i,
                        "supervised": 11 * n,
                        "truncated": 3 if (split, i) == ("train", 1) else 0,
                    }
                    for split, n in (("extract", 32), ("align", 96), ("train", 400), ("test", 100))
                },
            }
            for i, task in enumerate(SCORES)
        ],
        "models": [
            {
                "key": key,
                "label": label,
                "role": role,
                "trainable": 24_576 * (key in ("sft", "semalign")),
                "steps": 120 if "s" in key[:2] and key != "student" else 0,
                "train_tokens": 65_600 * (key in ("sft", "semalign")),
                "method": METHOD if key == "semalign" else None,
            }
            for key, label, role in zip(KEYS, LABELS, ROLES, strict=True)
        ],
        "scores": {
            task: {
                key: {
                    "metric": "exact_match",
                    **_interval(row[i], "score", 0.095),
                    "bits_per_byte": round(1.3 - row[i], 3),
                    "bits_low": round(1.26 - row[i], 3),
                    "bits_high": round(1.34 - row[i], 3),
                    "n": 100,
                }
                for i, key in enumerate(KEYS)
            }
            for task, row in SCORES.items()
        },
        "mean_score": {key: _interval(value, "value", 0.047) for key, value in means.items()},
        "mean_gap": {key: _interval(value, "value", 0.03 if value else 0.0) for key, value in gaps.items()},
        "differences": [
            {
                "a": a,
                "b": b,
                "task": task,
                **_interval(_difference(a, b, task), "value", 0.05 if task == "mean" else 0.08, low=-1),
            }
            for a, b in (("semalign", "sft"), ("semalign", "student"), ("semalign", "teacher"))
            for task in ("mean", *SCORES)
        ],
        "attribution": {
            "name": "gradient_x_activation",
            "n_layer": 12,
            "rows": 32,
            "source": "Simonyan et al. 2013, arXiv:1312.6034",
            "scores": [round(0.4 + 0.3 * math.sin(i) ** 2 + 0.9 * math.exp(-((i - 7) ** 2) / 4), 4) for i in range(12)],
        },
        "pairing": {
            "name": "critical",
            "n_student": 4,
            "n_teacher": 12,
            "pairs": [
                {
                    "student": 1,
                    "teacher": [{"layer": 5, "weight": 1.0}],
                    "reason": "depth rule: floor(2 · 12 / 4), counted from 1",
                    "similarity": 0.613,
                },
                {
                    "student": 2,
                    "teacher": [{"layer": 7, "weight": 0.35}, {"layer": 8, "weight": 0.65}],
                    "reason": "critical layer 7 (rank 1) is between two depths; interpolated",
                    "similarity": 0.578,
                },
            ],
        },
        "basis": {
            "name": "cosine",
            "tokens_used": 2048,
            "condition": 143.7,
            "agreement_top1": 0.412,
            "agreement_top5": 0.781,
            "row_correlation": 0.663,
            "layers": [
                {"student": 1, "agreement_top1": 0.331, "explained_variance": 0.274, "cka_before": 0.613},
                {"student": 2, "agreement_top1": 0.409, "explained_variance": 0.318, "cka_after": 0.702},
            ],
            "curves": [
                {
                    "label": f"{side}, {label}",
                    "site": "mlp_out",
                    "cosine": [round(base + 0.06 * math.sin(i + depth), 3) for i in range(depth)],
                }
                for side, depth in (("teacher", 12), ("student", 4))
                for label, base in (
                    ("cosine", 0.74),
                    ("input_side", 0.22),
                    ("random", 0.94),
                    ("permuted", 0.05),
                )
            ],
        },
        "training": {
            "sft": [_step(i, {"cross_entropy": 2.4 * math.exp(-i / 40) + 0.6}, {}, 0.02) for i in range(0, 120, 2)],
            "semalign": [_frontier_step(i) for i in range(0, 120, 2)],
        },
        "diagnostics": {
            "student": _probe(0.0) | {"cka": _cka(0.0)},
            "sft": _probe(0.02 * 6) | {"cka": _cka(0.05)},
            "semalign": _probe(0.04 * 6) | {"cka": _cka(0.3)},
        },
        "costs": [
            {"stage": stage, "seconds": s, "tokens": t, "peak_bytes": p}
            for stage, s, t, p in (
                ("load", 1.2, 0, 310e6),
                ("adapt teacher", 18.4, 65_600, 700e6),
                ("attribution", 2.2, 1_312, 520e6),
                ("basis", 0.8, 0, 420e6),
                ("train sft", 14.1, 65_600, 640e6),
                ("train semalign", 21.7, 65_600, 812e6),
                ("evaluate", 38.0, 190_000, 560e6),
            )
        ],
        "warnings": ["arithmetic: 3 of 400 training rows were truncated at 256 tokens"],
        "citations": [
            {"name": "gradient_x_activation", "source": "Simonyan et al. 2013, arXiv:1312.6034"},
            {"name": "LoRA", "source": "Hu et al. 2021, arXiv:2106.09685"},
        ],
        "notes": ["Layer loss at the MLP output before the residual addition: reconstruction."],
        "student": {"model": "embedded:student", "n_layer": 4, "width": 96, "parameters": 700_000},
        "teacher": {"model": "embedded:teacher", "n_layer": 12, "width": 160, "parameters": 4_200_000},
    }


def _interval(value: float, name: str, half: float, low: float = 0.0) -> dict[str, float]:
    return {name: round(value, 4), "low": round(max(low, value - half), 4), "high": round(min(1.0, value + half), 4)}


def _difference(a: str, b: str, task: str) -> float:
    rows = SCORES.values() if task == "mean" else [SCORES[task]]
    return sum(row[KEYS.index(a)] - row[KEYS.index(b)] for row in rows) / len(rows)


def _frontier_step(i: int) -> dict[str, Any]:
    """Stage 0 trains layer 1, stage 1 layer 2."""
    since = i % 60
    terms = {
        "latent_cosine": 0.9 * math.exp(-since / 30) + 0.1,
        "output_cosine": 0.8 * math.exp(-i / 50) + 0.1,
    }
    pair = "5->1" if i < 60 else "7+8->2"
    entry = _step(i, terms, {pair: 0.9 - 0.8 * math.exp(-since / 30)}, 0.04)
    weights = {"latent_cosine": 0.412 if i < 60 else 0.687, "output_cosine": 1.0}
    return entry | {"stage": i // 60, "weights": weights}


def _step(i: int, terms: dict[str, float], cosine: dict[str, float], pace: float) -> dict[str, Any]:
    wiggle = 1 + 0.04 * math.sin(7 * i)
    terms = {name: round(value * wiggle, 4) for name, value in terms.items()}
    entry = {
        "step": i,
        "loss": round(sum(terms.values()), 4),
        "terms": terms,
        "cosine": {name: round(value, 4) for name, value in cosine.items()},
        "grad_norm": 0.8,
        "tokens": 1_100,
        "supervised": 290 + i % 3,
        "tokens_per_second": 4_650.0 + i,
        "lr": 3e-4,
    }
    if i % 20 == 0:
        norms = {name: round(value * 0.3 / (place + 1) ** 3, 5) for place, (name, value) in enumerate(terms.items())}
        entry |= {"term_gradient_norms": norms, "probe": _probe(pace * i / 20)}
    return entry


def _probe(progress: float) -> dict[str, Any]:
    """Deeper layers say more of the answer, and training moves them most; `progress` in [0, 0.3]."""
    kl = [round((5.2 - 1.3 * layer) * (1 - progress * layer), 4) for layer in range(4)]
    return {"lens_kl": kl, "agreement": round(0.41 + progress, 4), "supervised_share": 0.2645}


def _cka(progress: float) -> list[list[float]]:
    """A ridge along equal depth over a floor; training raises the ridge."""
    return [
        [round(min(0.2 + (0.4 + progress) * math.exp(-((j - 3 * i - 1) ** 2) / 9), 1.0), 4) for j in range(12)]
        for i in range(4)
    ]


@pytest.fixture(scope="module")
def chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    with Chrome(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def record() -> dict[str, Any]:
    """A copy that a test may change."""
    return copy.deepcopy(json.loads(RECORD.read_text(encoding="utf-8")))


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run with its report; for reading only."""
    from semalign.report import write_report

    folder = tmp_path_factory.mktemp("run")
    (folder / "record.json").write_bytes(RECORD.read_bytes())
    write_answers(folder)
    write_report(folder)
    return folder


if __name__ == "__main__":
    RECORD.write_text(json.dumps(build(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
