"""Scores of benchmarks as a table in the terminal."""

from collections.abc import Iterable

from rich.table import Table

from semalign.evaluation.benchmarks.score import BenchmarkScore


def score_table(scores: Iterable[BenchmarkScore]) -> Table:
    """One line a benchmark and pass@k: score, standard error, interval, and how many rows were asked how."""
    table = Table(box=None, pad_edge=False)
    for column in ("benchmark", "metric", "score", "± s.e.", "95 % interval", "examples", "rows"):
        justify = "right" if column in ("score", "± s.e.", "examples") else "left"
        table.add_column(column, justify=justify, no_wrap=True)
    for score in (column for benchmark in scores for column in benchmark.columns.values()):
        table.add_row(
            score.task,
            f"{score.metric} ({score.protocol})",
            f"{score.score:.4f}",
            f"{score.standard_error:.4f}",
            f"{score.low:.4f} to {score.high:.4f}",
            str(score.few_shot),
            score.settings["sampling"].partition(" rows")[0],
        )
    return table
