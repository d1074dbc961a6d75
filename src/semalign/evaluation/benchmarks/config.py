"""The benchmarks of a run as its configuration names them."""

import re
from pathlib import Path

from pydantic import model_validator

from semalign.errors import UserError
from semalign.evaluation.benchmarks.options import Options
from semalign.settings import Part


class BenchmarksConfig(Part):
    """Which benchmarks are asked, and how: the options of `semalign eval`."""

    tasks: tuple[str, ...] = ("mmlu", "gsm8k", "humaneval", "mbpp")
    protocol: str = "lm-eval"
    data: str | None = None
    """Folder of benchmark files, relative to the configuration; the hub if not given."""
    limit: int | None = None
    num_fewshot: int | None = None
    template: str = "plain"
    samples: int | None = None
    temperature: float | None = None
    k: tuple[int, ...] | None = None
    seed: int = 0
    """Of `limit` and of sampled answers; not the run's, so that all seeds answer the same rows."""
    batch_size: int = 16

    @model_validator(mode="after")
    def _fit_together(self) -> "BenchmarksConfig":
        """All but the folder, which need not be there to read a configuration."""
        check_options(self.options(None))
        return self

    def options(self, data: Path | None) -> Options:
        """What the benchmarks are asked with, their files in `data`."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return Options(**{**values, "data": data})


def check_options(options: Options) -> None:
    """Raise UserError where the options do not fit together or the data folder is not there, by a field's name."""
    try:
        options.check()
    except UserError as error:
        named = re.sub(r"--([a-z-]+)", lambda flag: flag[1].replace("-", "_"), str(error))
        raise UserError(f"evaluation.benchmarks: {named}") from None
