"""Several processes on this machine that train together, each a fork of the test's own."""

import os
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from accelerate.state import AcceleratorState
from accelerate.utils import patch_environment
from torch import distributed, multiprocessing


def in_processes(n: int, work: Callable[..., Any], *arguments: Any, **options: Any) -> list[Any]:
    """What `work` returns in each of n processes, started as torchrun starts them; fails where they did not meet."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        given = (n, port, folder, lambda: work(*arguments, **options))
        multiprocessing.start_processes(_start, args=given, nprocs=n, start_method="fork")
        return [torch.load(Path(folder) / str(rank), weights_only=False) for rank in range(n)]


def _start(rank: int, n: int, port: int, folder: str, work: Callable[[], Any]) -> None:
    AcceleratorState._reset_state(reset_partial_state=True)  # the test's own process may have trained alone before
    launched = {"rank": rank, "local_rank": rank, "world_size": n, "local_world_size": n}
    with patch_environment(**launched, master_addr="127.0.0.1", master_port=port, omp_num_threads=1):
        torch.save(work(), Path(folder) / str(rank))
        assert distributed.get_world_size() == n
        distributed.destroy_process_group()
    os._exit(0)  # a fork of pytest must not end as pytest does
