"""python -m fastconv.bench"""

from .command import main

main()
