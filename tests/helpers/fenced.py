"""The fenced blocks of every page, and the command lines in them."""

import re
import shlex
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "pairs/README.md")] + sorted(
    ROOT.glob("docs/**/*.md")
)
FENCE = re.compile(r"^( *)```([\w-]*)[^\n]*\n(.*?)^\1```", flags=re.DOTALL | re.MULTILINE)
PROGRAMS = ("semalign", "make", "pip", "python", "torchrun", "srun", "accelerate", "vllm", "export", "git", "pytest")


@dataclass(frozen=True)
class Block:
    """One fenced block: where it is, its language ('' where none is said), its text."""

    page: str
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def is_shell(self) -> bool:
        """A block without a language is one where its first word is a program."""
        return self.language in ("sh", "bash", "console") or (
            not self.language and self.text.split(maxsplit=1)[0] in PROGRAMS
        )

    @cached_property
    def commands(self) -> list[str]:
        """Its lines without comments, those that go on with a backslash joined."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]


def blocks() -> list[Block]:
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in FENCE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            found.append(Block(page.relative_to(ROOT).as_posix(), line, match[2], match[3]))
    return found


def words(command: str) -> list[str]:
    """The words of a command line; what stands behind a # is a comment."""
    return shlex.split(command, comments=True)
