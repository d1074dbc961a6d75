"""Run and sweep folders with planted outcomes, as the pipeline writes them: only what a comparison reads."""

import numpy as np
import yaml

from semalign.artifacts import write_json, write_text
from semalign.evaluation import TaskScore

N_ROW = 12
ROLES = {"student": "before", "sft": "control", "teacher": "teacher"}


def outcomes(share, seed=0, n=N_ROW):
    """About `share` of the rows right, the same ones for a larger share of the same seed."""
    return (np.random.default_rng(seed).permutation(n) < round(share * n)).astype(float).tolist()


def task_score(task, values, *, metric="exact_match", ids=None, split="test"):
    n = len(values)
    return TaskScore(
        task=task,
        metric=metric,
        score=None if metric == "byte_probability" else sum(values) / n,
        outcomes=[] if metric == "byte_probability" else list(values),
        bits_per_byte=2.0,
        row_bits=[-8 * np.log2(max(v, 0.5)) if metric == "byte_probability" else 16.0 for v in values],
        row_bytes=[8] * n,
        ids=ids or [f"{task}-{i}" for i in range(n)],
        samples=[],
        protocol={"split": split, "template": "plain"},
    )


def config_of(seed=0, **changes):
    method = {"name": "semalign", "pairing": {"name": "critical", "count": 1}, "basis": {"name": "cosine"}}
    return {
        "name": "fake",
        "teacher": {"model": "big"},
        "student": {"model": "small"},
        "data": {"tasks": [{"name": "sums"}]},
        "training": {"batch_size": 4, "epochs": 2},
        "seed": seed,
        "method": method,
        "root": "/nowhere",
        **changes,
    }


def write_run(folder, scores, *, config=None, status="done", steps=6, metrics=None, **options):
    """`scores` maps a model to its outcomes by task; a model that has no role of its own is the method."""
    config = config or config_of()
    write_text(folder / "config.yaml", yaml.safe_dump(config))
    write_json(folder / "status.json", {"status": status, "detail": options.pop("detail", ""), "stages": []})
    if status != "done":
        return folder
    models, costs = [], []
    for key, by_task in scores.items():
        role = ROLES.get(key, "teacher" if key == "teacher_adapted" else "method")
        is_trained = role in ("control", "method")
        models.append(
            {
                "key": key,
                "label": key,
                "role": role,
                "trainable": 100 if is_trained else 0,
                "steps": steps if is_trained else 0,
                "train_tokens": 50 * steps if is_trained else 0,
                "teacher_tokens": 70 * steps if role == "method" else 0,
                "method": config["method"] if role == "method" else {"name": "sft"} if role == "control" else None,
            }
        )
        if is_trained:
            costs += [{"stage": f"{work} {key}", "seconds": 2.0, "peak_bytes": 2**20} for work in ("prepare", "train")]
        for task, values in by_task.items():
            metric = (metrics or {}).get(task, "exact_match")
            task_score(task, values, metric=metric, **options).save(folder / "eval" / key)
    reference = "teacher_adapted" if "teacher_adapted" in scores else "teacher"
    record = {"config": yaml.safe_dump(config), "models": models, "costs": costs, "reference": reference}
    write_json(folder / "record.json", record)
    return folder


def write_sweep(folder, variants, *, seeds=(0, 1, 2), shares=None):
    """A base with student, sft and teacher, and variants `{label: share right}` of the axis `pairing`."""
    shares = {"student": 0.2, "sft": 0.4, "base": 0.5, "teacher": 0.9, **(shares or {})}
    entries = [{"name": "base", "folder": "base", "budget": []}]
    for seed in seeds:
        known = {m: {"sums": outcomes(shares[m], seed), "names": outcomes(shares[m], seed + 50)} for m in shares}
        run = {"student": known["student"], "sft": known["sft"], "semalign": known["base"], "teacher": known["teacher"]}
        write_run(folder / "base" / f"seed-{seed}", run, config=config_of(seed))
    for label, share in variants.items():
        is_base = share is None
        name = f"pairing={label}"
        overrides = {"method.pairing": label}
        entry = {"name": name, "folder": "base" if is_base else name, "axis": "pairing", "label": label}
        entries.append({**entry, "overrides": overrides, "budget": []})
        for seed in () if is_base else seeds:
            run = {
                "student": {"sums": outcomes(shares["student"], seed), "names": outcomes(shares["student"], seed + 50)},
                "semalign": {"sums": outcomes(share, seed), "names": outcomes(share, seed + 50)},
                "teacher": {"sums": outcomes(shares["teacher"], seed), "names": outcomes(shares["teacher"], seed + 50)},
            }
            method = {**config_of()["method"], "pairing": {"name": label}}
            write_run(folder / name / f"seed-{seed}", run, config=config_of(seed, method=method))
    write_json(folder / "sweep.json", {"config": config_of(), "seeds": list(seeds), "variants": entries})
    return folder
