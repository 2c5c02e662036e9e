"""The text of a kernel and its constants, as every compiler (NVRTC, nvcc, g++ for the emulator) gets them."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent
INCLUDE = re.compile(r'#include "(\w+\.cuh)"')
C_TYPES = {"float32": "float", "float64": "double"}


@dataclass(frozen=True)
class Kernel:
    """One entry of a .cu file, specialised by constants: what is compiled once and launched often."""

    file: str
    name: str
    defines: tuple[tuple[str, str | int], ...] = ()

    @property
    def source(self):
        """common.cuh and the file as one text."""
        return source(self.file)

    @property
    def options(self):
        """-D for every constant, in a fixed order: part of the key of a disk cache."""
        return tuple(f"-D{name}={value}" for name, value in sorted(self.defines))


@cache
def source(file):
    """common.cuh with FILE.cu behind it. One text, because CuPy's disk cache does not look into included files;
    the line directives keep error messages pointing at the files."""
    return _text("common.cuh") + _text(f"{file}.cu")


def _text(name):
    """A file with what it includes in place."""
    lines = [f'#line 1 "{name}"']
    for number, line in enumerate((FOLDER / name).read_text().splitlines(), 1):
        included = INCLUDE.fullmatch(line)
        lines += [_text(included[1]) + f'#line {number + 1} "{name}"'] if included else [line]
    return "\n".join(lines) + "\n"


def files():
    """The names of all kernel files."""
    return sorted(path.stem for path in FOLDER.glob("*.cu"))


def with_source_lines(log):
    """A compiler's messages, under each the line of source it speaks of."""
    lines = []
    for message in log.splitlines():
        lines.append(message)
        name, _, rest = message.partition("(")
        number = rest.partition(")")[0]
        path = FOLDER / Path(name.strip()).name
        if number.isdigit() and path.suffix in (".cu", ".cuh") and path.is_file():
            text = path.read_text().splitlines()
            lines.append(f"    {text[int(number) - 1].strip()}" if int(number) <= len(text) else "")
    return "\n".join(lines)
