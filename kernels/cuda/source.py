"""The text of a kernel and its constants, as every compiler (NVRTC, nvcc, g++ for the emulator) gets them."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent
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
    parts = (FOLDER / "common.cuh", FOLDER / f"{file}.cu")
    return "".join(f'#line 1 "{path.name}"\n{path.read_text()}\n' for path in parts)


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
