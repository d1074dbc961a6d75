"""The report of a run: a Markdown card, a self-contained page, a summary for machines, a table for the terminal."""

from .answer import answer
from .page import write_report
from .record import read_record
from .sheet import SheetTable, write_sheet
from .summary import summary
from .terminal import benchmark_table, terminal_table

__all__ = [
    "SheetTable",
    "answer",
    "benchmark_table",
    "read_record",
    "summary",
    "terminal_table",
    "write_report",
    "write_sheet",
]
