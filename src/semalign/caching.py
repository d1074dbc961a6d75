"""The stage between plan and training: what the teacher says goes to disk, and its blocks out of memory."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from . import ranks
from .artifacts import read_json, remove_folder, write_json
from .config import Run
from .data import Example
from .methods import LoopMethod, Method, MethodContext, Plan
from .methods.teacher_cache import TeacherCache, in_words
from .models import LanguageModel
from .models.released import released
from .models.sharding import is_sharded
from .prepare import load_model
from .progress import Reporter
from .run_folder import RunFolder


@contextmanager
def cached(
    config: Run,
    folder: RunFolder,
    reporter: Reporter,
    *,
    name: str,
    method: Method,
    context: MethodContext,
    plan: Plan,
    rows: Mapping[str, Sequence[Example]],
) -> Iterator[TeacherCache | None]:
    """What a method follows while it trains within the block; None: the teacher, which then stays in memory.

    `rows` are those of the run by split. A cache of the run's own is deleted when the training is done, one in a shared
    folder stays.
    """
    if config.cache is None or not method.cacheable:
        if config.cache is not None and method.uses_teacher:
            reporter.say(not_cached(name, method))
        yield None
        return
    assert isinstance(method, LoopMethod), "only a method that is a loss follows a teacher"
    examples = method.trained_rows(rows)
    shared, own = config.cache_folder, folder / "cache" / name
    cache = TeacherCache.of(method.step(context, plan), config.cache, shared or own)
    for path in ranks.once(lambda: cache.repair(examples)):
        reporter.warn(f"{path}: damaged; its rows are computed anew")
    cache = cache.again()
    _fill(cache, folder, reporter, name, examples)
    cache = cache.again()
    device, commit = context.teacher.device, context.teacher.commit
    with _without(context.teacher, lambda: load_model(config, config.teacher, device, commit)):
        yield cache
    if shared is None:
        remove_folder(own)


def not_cached(name: str, method: Method) -> str:
    """What is said of a method that follows its teacher otherwise than from disk."""
    return f"{name}: trains with the teacher in memory; what '{method.name}' asks of it is not cached"


def _without(teacher: LanguageModel, again: Callable[[], LanguageModel]) -> AbstractContextManager[None]:
    """A packed teacher stays: it takes little memory, and would have to be packed anew. So does a divided one."""
    return nullcontext() if teacher.is_quantized or is_sharded(teacher) else released(teacher, again)


def _fill(cache: TeacherCache, folder: RunFolder, reporter: Reporter, name: str, examples: Sequence[Example]) -> None:
    missing, stage = cache.missing(examples), f"cache {name}"
    facts = ranks.once(lambda: _facts(cache, folder / "train" / name / "cache.json", examples))
    reporter.say(
        f"teacher cache of {name}: {in_words(facts['bytes'])} for {facts['rows']} rows, {len(missing)} of them to be "
        f"computed, in {cache.folder}"
    )
    with reporter.stage(f"caching the teacher for {name}") as advance:
        if folder.done(stage):  # but some rows were damaged since
            cache.fill(examples, advance)
            return
        with folder.stage(stage) as cost:
            cache.fill(examples, advance)
            cost.tokens = sum(example.n_read for example in examples)
            cost.teacher_tokens = facts["teacher_tokens"]


def _facts(cache: TeacherCache, path: Path, examples: Sequence[Example]) -> dict:
    """Written when the run first looks at the cache, so that what it computed of it is known after any stop."""
    if not path.exists():
        missing = cache.missing(examples)
        facts = {
            "folder": cache.folder,
            "bytes": cache.n_bytes(examples),
            "rows": len(examples),
            "rows_found": len(examples) - len(missing),
            "teacher_tokens": sum(row.of_teacher.n_read for row in missing),
            "depends_on": cache.described,
        }
        write_json(path, facts)
    return read_json(path)
