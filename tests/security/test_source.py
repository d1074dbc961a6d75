"""The source itself: nothing in it unpickles, evaluates text, or starts a shell."""

import ast
from pathlib import Path

import pytest

import semalign

SOURCE = Path(semalign.__file__).parent
MODULES = sorted(SOURCE.rglob("*.py"))
# Generated programs are what the sandbox is for; these two files are the ones that run in it.
INSIDE = {SOURCE / "evaluation" / "sandbox" / "inside" / name for name in ("candidate.py", "judge.py")}
IMPORTS = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "tarfile", "zipfile"}
CALLS = {"eval", "exec", "__import__"}
METHODS = {("os", "system"), ("os", "popen"), ("torch", "load"), ("torch", "save"), ("np", "load"), ("numpy", "load")}


def imported(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0]


def complaints(tree, *, may_execute=False):
    """What a module calls that could run what it was given."""
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        match call.func:
            case ast.Name(id=name) if name in CALLS and not may_execute:
                yield name
            case ast.Attribute(value=ast.Name(id=owner), attr=name) if (owner, name) in METHODS:
                yield f"{owner}.{name}"
            case ast.Attribute(value=ast.Name(id="yaml"), attr=name) if name in ("load", "load_all", "unsafe_load"):
                if ast.unparse(call.args[-1]) != "_Loader":
                    yield f"yaml.{name}"
        if any(word.arg == "shell" and ast.unparse(word.value) != "False" for word in call.keywords):
            yield "shell=True"
        if any(word.arg == "allow_pickle" and ast.unparse(word.value) != "False" for word in call.keywords):
            yield "allow_pickle"
        if any(word.arg == "trust_remote_code" and ast.unparse(word.value) == "True" for word in call.keywords):
            yield "trust_remote_code=True"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_module_runs_nothing_that_it_was_given(path):
    tree = ast.parse(path.read_text("utf-8"))
    assert not IMPORTS & set(imported(tree))
    assert not list(complaints(tree, may_execute=path in INSIDE))


@pytest.mark.parametrize(
    "line",
    [
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "eval(text)",
        "subprocess.run(line, shell=True)",
        "yaml.load(text, yaml.Loader)",
        "np.load(path, allow_pickle=True)",
        "load(name, trust_remote_code=True)",
    ],
)
def test_the_search_finds_what_it_looks_for(line):
    assert list(complaints(ast.parse(line)))


def test_the_yaml_loader_makes_plain_values_only():
    import yaml

    from semalign.settings import _Loader

    assert issubclass(_Loader, yaml.SafeLoader)
