"""`python -m semalign`, which launchers of several processes start."""

from .cli import main

main()
