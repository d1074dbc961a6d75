"""The page in headless Chromium: it renders, in light and dark, without a console error."""

import shutil
import subprocess
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--enable-logging=stderr",
]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine, so the page is not rendered"),
]


def _browse(folder: Path, scratch: Path, *options: str) -> subprocess.CompletedProcess[str]:
    profile = f"--user-data-dir={scratch / 'profile'}"
    command = [str(BROWSER), *QUIET, profile, *options, (folder / "report.html").as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


@pytest.mark.parametrize(("scheme", "bright"), [(1, True), (0, False)])
def test_page_renders_without_console_errors(tmp_path: Path, written: Path, scheme: int, bright: bool) -> None:
    shot = tmp_path / "page.png"
    done = _browse(
        written,
        tmp_path,
        f"--blink-settings=preferredColorScheme={scheme}",
        f"--screenshot={shot}",
        "--window-size=1200,3000",
    )
    assert "CONSOLE" not in done.stderr
    image = np.asarray(matplotlib.image.imread(shot))[:, :, :3]
    assert image.shape[:2] == (3000, 1200)
    assert (np.median(image) > 0.5) == bright
    assert image.std() > 0.05  # an empty page is one colour


def test_the_browser_keeps_every_figure_and_section(tmp_path: Path, written: Path) -> None:
    done = _browse(written, tmp_path, "--dump-dom")
    assert done.stdout.count("<svg") == 12
    assert done.stdout.count("</section>") == 11
