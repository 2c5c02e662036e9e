"""`python -m fastconv` is the command line."""

from .cli import main

main()
