"""The ten digits as small pictures: what LeNet-5 of 1998 compares its last hidden layer with.

The paper takes a set of 7x12 pictures of all printable characters; these ten are our own drawings in its manner.
"""

from __future__ import annotations

from typing import Any

import numpy as np

PICTURES = """
..###.. ...##.. .#####. .#####. ....##. ####### ..####. ####### .#####. .#####.
.##.##. ..###.. ##...## ##...## ...###. ##..... .##.... .....## ##...## ##...##
##...## .####.. ##...## .....## ..####. ##..... ##..... .....## ##...## ##...##
##...## ...##.. .....## .....## .##.##. ##..... ##..... ....##. ##...## ##...##
##...## ...##.. ....##. .....## ##..##. ######. ######. ....##. .#####. ##...##
##...## ...##.. ...##.. ..####. ##..##. .....## ##...## ...##.. ##...## .######
##...## ...##.. ..##... .....## ####### .....## ##...## ...##.. ##...## .....##
##...## ...##.. .##.... .....## ....##. .....## ##...## ..##... ##...## .....##
##...## ...##.. ##..... .....## ....##. .....## ##...## ..##... ##...## .....##
.##.##. ...##.. ##..... ##...## ....##. ##...## ##...## ..##... ##...## ....##.
..###.. .###### ####### .#####. ....##. .#####. .#####. ..##... .#####. .####..
....... ....... ....... ....... ....... ....... ....... ....... ....... .......
"""


def digit_codes() -> Any:
    """(10, 84): for each digit the 12 rows of 7 pixels of its picture, 1 where there is ink and -1 elsewhere.

    `fc.plots.filter_show(digit_codes().reshape(10, 1, 12, 7), path="codes.png")` draws them.
    """
    rows = [line.split() for line in PICTURES.split("\n") if line]
    ink = [[pixel == "#" for row in rows for pixel in row[digit]] for digit in range(10)]
    return np.where(ink, 1.0, -1.0).astype("float32")
