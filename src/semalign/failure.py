"""What a user is told of an error that nobody foresaw: one line; where the traceback is, and how to see it."""

import contextlib
import os
import traceback
from collections.abc import Iterator
from pathlib import Path

from . import ranks
from .artifacts import whole_file
from .errors import UserError

SHOW = "SEMALIGN_DEBUG"  # =1: Python's traceback in place of the line
MEMORY = ("OutOfMemoryError", "MemoryError")  # torch's, and Python's


@contextlib.contextmanager
def kept(folder: Path) -> Iterator[None]:
    """An unforeseen error in the block leaves its traceback in `folder`, and a note where; an older one goes."""
    path = folder / ("traceback.txt" if ranks.is_first() else f"traceback-{ranks.rank()}.txt")
    path.unlink(missing_ok=True)
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        with contextlib.suppress(Exception):  # a full disk must not hide what went wrong
            with whole_file(path, by_all=True) as temporary:
                temporary.write_text(traceback.format_exc(), encoding="utf-8")
            error.add_note(f"the traceback is in {path}")
        raise


def in_a_line(error: Exception) -> str:
    """The kind of error, where in semalign, its first line, and what to do."""
    kind = type(error).__name__
    if kind in MEMORY:
        how = "lower training.micro_batch_size, data.max_length or evaluation.batch_size, or choose smaller models"
        return f"out of memory ({_first_line(error)}); {how}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "semalign" in Path(frame.filename).parts]
    place = f" in {Path(frames[-1].filename).name} line {frames[-1].lineno}" if frames else ""
    notes = [note for note in getattr(error, "__notes__", ()) if note.startswith("the traceback is in ")]
    where = notes[0] if notes else f"{SHOW}=1 shows the traceback"
    return f"unexpected {kind}{place}: {_first_line(error)}; this is a fault of semalign, please report it; {where}"


def shown() -> bool:
    return os.environ.get(SHOW, "") not in ("", "0")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no message"])[0][:300]
