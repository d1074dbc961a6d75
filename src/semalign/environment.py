"""What a run was made with: versions, device, threads and commit."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("semalign", "torch", "transformers", "peft", "accelerate", "safetensors", "lm-eval", "datasets", "numpy")


def environment() -> dict[str, Any]:
    """Everything outside the configuration that a result may depend on."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {os.cpu_count()} cores",
        "threads": torch.get_num_threads(),
        "threads between operations": torch.get_num_interop_threads(),
        "vector instructions": torch.backends.cpu.get_cpu_capability(),
        "matrix products in float32": torch.get_float32_matmul_precision(),
        "deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
        **_gpu(),
        "versions": versions(),
        "commit": _commit(),
    }


def _gpu() -> dict[str, Any]:
    """What decides how a GPU adds up."""
    if not torch.cuda.is_available():
        return {}
    return {
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "cudnn deterministic": torch.backends.cudnn.deterministic,
        "cudnn benchmark": torch.backends.cudnn.benchmark,
        "cublas workspace": os.environ.get("CUBLAS_WORKSPACE_CONFIG"),
    }


def versions() -> dict[str, str]:
    """Installed versions of the packages that numbers depend on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _commit() -> str | None:
    """The commit of the source tree semalign runs from; None for an installed package."""
    folder = Path(__file__).parent
    if "site-packages" in folder.parts:
        return None
    try:
        command = ["git", "-C", str(folder), "rev-parse", "HEAD"]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
