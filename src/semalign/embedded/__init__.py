"""The embedded pair: a small teacher and student that ship with the package, and four small tasks with their splits.

`pairs/build.py` in the repository makes everything that lies here.
"""

from pathlib import Path

_HERE = Path(__file__).parent


def teacher_folder() -> Path:
    """The teacher, a plain Hugging Face folder."""
    return _HERE / "teacher"


def student_folder() -> Path:
    """The student, a plain Hugging Face folder with the teacher's tokenizer."""
    return _HERE / "student"


def tasks_folder() -> Path:
    """`<task>/{train,validation,test}.jsonl`, and `tasks.yaml` that says how each task is scored."""
    return _HERE / "tasks"
