"""The four benchmarks MMLU, GSM8K, HumanEval and MBPP, by lm-eval's tasks or by the paper's protocol."""

from semalign.evaluation.benchmarks.options import Options
from semalign.evaluation.benchmarks.run import evaluate_benchmarks, evaluate_model
from semalign.evaluation.benchmarks.score import BenchmarkScore
from semalign.evaluation.benchmarks.table import score_table

__all__ = ["BenchmarkScore", "Options", "evaluate_benchmarks", "evaluate_model", "score_table"]
