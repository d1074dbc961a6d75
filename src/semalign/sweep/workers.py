"""Runs in other processes: each worker imports everything once and then runs one job after another."""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

Item = TypeVar("Item")
ENDED = "the process ended with code {code} (a negative one is a signal: -9 often means out of memory)"
GRACE = 5  # seconds that a worker has to end by itself before it is made to


class Worker:
    """A process that answers each item it is sent with the work's answer."""

    def __init__(self, work: Callable[[Any], Any]) -> None:
        context = multiprocessing.get_context("spawn")  # a forked process would share torch's thread pools
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(work, theirs), daemon=True)
        self.process.start()
        theirs.close()

    def stop(self) -> None:
        """An idle worker leaves when its pipe closes, an interrupted one when it has said so in its run's folder."""
        self.pipe.close()
        self.process.join(GRACE)
        self.process.terminate()


def _serve(work: Callable[[Any], Any], pipe: Connection) -> None:
    import torch

    torch.set_num_threads(1)  # the workers share the cores
    try:
        while True:
            pipe.send(work(pipe.recv()))
    except (EOFError, KeyboardInterrupt, BrokenPipeError):
        return


def run_all(
    items: Sequence[Item], work: Callable[[Item], str], n_worker: int, ready: Callable[[Item, set[int]], bool]
) -> Iterator[tuple[Item, str]]:
    """Each item with its answer as they finish; `ready(item, open)` says whether it may start while those are open.

    `open` holds the indices of items that have not finished. A worker that dies answers with the reason and is
    replaced. `work` must be a function that another process can import, and never raise.
    """
    waiting, open_items = list(range(len(items))), set(range(len(items)))
    busy: dict[Connection, tuple[Worker, int]] = {}
    idle: list[Worker] = []
    try:
        while waiting or busy:
            while (index := _next(items, waiting, open_items, ready)) is not None and len(busy) < n_worker:
                worker = idle.pop() if idle else Worker(work)
                worker.pipe.send(items[index])
                waiting.remove(index)
                busy[worker.pipe] = (worker, index)
            for pipe in wait(list(busy)):
                worker, index = busy.pop(pipe)  # pyright: ignore[reportArgumentType]  (wait returns what it is given)
                answer, alive = _receive(worker)
                open_items.remove(index)
                idle += [worker] if alive else []
                yield items[index], answer
    finally:
        for worker in [*idle, *(worker for worker, _ in busy.values())]:
            worker.stop()


def _next(
    items: Sequence[Item], waiting: list[int], open_items: set[int], ready: Callable[[Item, set[int]], bool]
) -> int | None:
    return next((index for index in waiting if ready(items[index], open_items)), None)


def _receive(worker: Worker) -> tuple[str, bool]:
    try:
        return worker.pipe.recv(), True
    except (EOFError, ConnectionResetError):
        worker.process.join()
        worker.pipe.close()
        return ENDED.format(code=worker.process.exitcode), False
