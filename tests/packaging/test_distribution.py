"""Wheel and sdist: what they hold, and that a fresh environment runs from the wheel."""

import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
import yaml

import semalign

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "semalign"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, sdist


def test_the_wheel_holds_every_file_of_the_package_and_no_other(built):
    names = set(zipfile.ZipFile(built[0]).namelist())
    here = {
        f"semalign/{path.relative_to(PACKAGE).as_posix()}"
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    info = {name for name in names if ".dist-info/" in name}
    assert names - info == here
    assert {Path(name).name for name in info} >= {"LICENSE", "NOTICE", "METADATA", "entry_points.txt"}


def test_the_sdist_builds_the_same_and_has_its_papers(built):
    with tarfile.open(built[1]) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert {"LICENSE", "NOTICE", "CITATION.cff", "CHANGELOG.md", "README.md", "pyproject.toml"} <= names
    assert "src/semalign/embedded/student/model.safetensors" in names


def test_a_fresh_environment_runs_from_the_wheel(built, tmp_path):
    venv.create(tmp_path / "env", system_site_packages=False, with_pip=False)
    python = tmp_path / "env" / "bin" / "python"
    home = Path(
        subprocess.check_output(
            [python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"], text=True
        ).strip()
    )
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "--python",
            str(python),
            "install",
            "-q",
            "--no-deps",
            "--no-index",
            str(built[0]),
        ],
        check=True,
    )
    # what it needs is taken from here; its own copy comes first, and an editable one is no folder of site-packages
    (home / "needs.pth").write_text("\n".join(path for path in sys.path if "-packages" in path), encoding="utf-8")
    run = tmp_path / "env" / "bin" / "semalign"
    where = subprocess.check_output(
        [python, "-c", "import semalign; print(semalign.__file__)"], text=True, cwd=tmp_path
    )
    assert Path(where.strip()).is_relative_to(home)
    assert "Usage: semalign" in subprocess.check_output([run, "--help"], text=True, cwd=tmp_path)
    assert "critical" in subprocess.check_output([run, "ls", "pairing"], text=True, cwd=tmp_path)


def test_papers_agree_on_the_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert project["version"] == semalign.__version__ == citation["version"]
    assert f"## [{project['version']}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert citation["license"] == project["license"]
    assert citation["references"][0]["identifiers"][0]["value"] == "arXiv:2510.24208"
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
