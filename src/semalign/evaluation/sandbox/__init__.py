"""Runs untrusted programs against tests in bubblewrap; the verdict cannot be forged by the program."""

from semalign.evaluation.sandbox.bubblewrap import SandboxUnavailable
from semalign.evaluation.sandbox.sandbox import Sandbox
from semalign.evaluation.sandbox.verdict import Verdict

__all__ = ["Sandbox", "SandboxUnavailable", "Verdict"]
