"""Builds the embedded pair: the task files, one tokenizer, a teacher and a student.

python pairs/build.py --out DIR      everything; DIR is the package's own folder unless given
python pairs/build.py --tasks-only   the task files alone
python pairs/build.py --check        do the shipped task files still come out of this code, bit for bit?
"""

import argparse
import multiprocessing
import sys
import tempfile
from itertools import islice
from pathlib import Path

from corpus import documents, make_splits, write_tasks

PACKAGE_FOLDER = Path(__file__).resolve().parents[1] / "src" / "semalign" / "embedded"
NAMES = ("teacher", "student")
TOKENIZER_SEED, TOKENIZER_DOCUMENTS = 3, 20000


def main() -> int:
    arguments = _arguments()
    if arguments.check:
        return check(arguments.out)
    existing = [name for name in (*NAMES, "tasks") if (arguments.out / name).exists()]
    if existing and not arguments.force:
        held = ", ".join(existing)
        print(
            f"{arguments.out} already holds {held}. Name another folder (--out) or overwrite (--force).",
            file=sys.stderr,
        )
        return 2
    write_tasks(make_splits(), arguments.out / "tasks")
    if not arguments.tasks_only:
        build_models(arguments.out, arguments.share)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=PACKAGE_FOLDER, help="folder to write to (default: the package's)")
    parser.add_argument("--force", action="store_true", help="overwrite what is there")
    parser.add_argument("--tasks-only", action="store_true", help="write the task files and train nothing")
    parser.add_argument("--check", action="store_true", help="regenerate the task files and compare; writes nothing")
    parser.add_argument("--share", type=float, default=1.0, help="train for this share of the full budget (default: 1)")
    return parser.parse_args()


def check(folder: Path) -> int:
    """Compares each task file with a fresh one; exit code 1 and their names where they differ."""
    with tempfile.TemporaryDirectory() as scratch:
        write_tasks(make_splits(), Path(scratch))
        fresh = {path.relative_to(scratch): path.read_bytes() for path in Path(scratch).rglob("*.*")}
    shipped = folder / "tasks"
    differing = sorted(str(name) for name, content in fresh.items() if _read(shipped / name) != content)
    print("\n".join(f"differs: {name}" for name in differing) or f"{len(fresh)} task files are as built")
    return 1 if differing else 0


def _read(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def build_models(folder: Path, share: float) -> None:
    """Trains the tokenizer, then both models in a process each."""
    from tokenizer import train_tokenizer  # transformers takes seconds to import, and --check needs none of it

    stream = islice(documents(make_splits(), TOKENIZER_SEED), TOKENIZER_DOCUMENTS)
    tokenizer = train_tokenizer(prompt + answer for prompt, answer in stream)
    for name in NAMES:
        tokenizer.save_pretrained(folder / name)
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=build_model, args=(name, folder / name, share)) for name in NAMES]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if any(worker.exitcode for worker in workers):
        raise SystemExit("training of a model stopped early; run the build again")


def build_model(name: str, folder: Path, share: float) -> None:
    from train import PLANS, scaled, train

    train(scaled(PLANS[name], share), folder)


if __name__ == "__main__":
    sys.exit(main())
