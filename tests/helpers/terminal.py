"""The command line as a user meets it: exit code, standard output, standard error."""

from typing import NamedTuple

from semalign import cli


class Said(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def complaint(self):
        """Standard error without the lines that say which stage is at work."""
        return [line for line in self.err.splitlines() if not line.endswith(" ...")]


def semalign(monkeypatch, capsys, *arguments):
    monkeypatch.setattr("sys.argv", ["semalign", *map(str, arguments)])
    try:
        cli.main()
    except SystemExit as stop:
        code = stop.code
    said = capsys.readouterr()
    return Said(code, said.out, said.err)
