"""`python -m rk`."""

from rk.cli import main

main()
