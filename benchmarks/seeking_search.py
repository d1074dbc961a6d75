"""How long SEEKING's search for windows takes, and its SVD: `python benchmarks/seeking_search.py`, one JSON line each.

One layer of Llama-2-13B against Llama-2-7B, with scores by chance (time does not depend on them). Each matrix is
measured in a process of its own, because the peak of memory is the process's.
"""

import argparse
import json
import resource
import subprocess
import sys
import time

import torch

from semalign import __version__
from semalign.linalg.window import best_window
from semalign.methods.injected import principal_part

SHAPES = {
    "o": ((5120, 5120), (4096, 4096)),
    "v": ((5120, 5120), (4096, 4096)),
    "up": ((13824, 5120), (11008, 4096)),
    "down": ((5120, 13824), (4096, 11008)),
}
RANK = 16


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--role", choices=SHAPES, help="one matrix, in this process; all of them without it")
    parser.add_argument("--svd", action="store_true", help="measure the SVD of the student's shape too: minutes")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    if options.role is None:
        for role in SHAPES:
            subprocess.run([sys.executable, *sys.argv, "--role", role], check=True)
        return 0
    torch.set_num_threads(options.threads)
    large, small = SHAPES[options.role]
    scores = torch.rand(large, generator=torch.Generator().manual_seed(0))
    best_window(scores[:64, :64], 32, 32)
    before, started = peak_bytes(), time.perf_counter()
    corner = best_window(scores, *small)
    found = {
        "role": options.role,
        "teacher": large,
        "student": small,
        "seconds": time.perf_counter() - started,
        "score_bytes": scores.nbytes,
        "further_peak_bytes": peak_bytes() - before,
        "corner": corner,
        "threads": options.threads,
        "versions": {"semalign": __version__, "torch": torch.__version__},
    }
    if options.svd:
        row, column = corner
        started = time.perf_counter()
        principal_part(scores[row : row + small[0], column : column + small[1]], RANK)
        found["svd_seconds"] = time.perf_counter() - started
    print(json.dumps(found), flush=True)
    return 0


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    sys.exit(main())
