"""Tables are readable whatever the terminal: whole in a pipe, row by row where there is too little room."""

import pytest
from rich.console import Console
from rich.table import Table

import fastconv as fc
from fastconv import tables


@pytest.fixture
def table():
    wide = Table(title="sizes", caption="all of them together", show_footer=True)
    wide.add_column("name", footer="total")
    wide.add_column("call")
    wide.add_column("parameters", justify="right", footer="1,200")
    wide.add_column("a very\nlong reason")
    wide.add_row("first", "conv2d", "1,200", "because " * 12)
    wide.add_row("second", "[relu]", "-", "")
    return wide


def terminal(monkeypatch, width):
    """A terminal of so many columns on standard output."""

    class Terminal(Console):
        def __init__(self, **options):
            super().__init__(**({"force_terminal": True, "width": width, "color_system": None} | options))

    monkeypatch.setattr("rich.console.Console", Terminal)


def test_a_pipe_gets_whole_lines(table, capsys):
    tables.show(table)
    lines = capsys.readouterr().out.splitlines()
    assert any("because " * 11 + "because" in line for line in lines)
    assert all(line == line.rstrip() for line in lines)
    assert "…" not in "".join(lines)
    assert tables.as_text(table).splitlines() == lines


def test_a_wide_terminal_gets_the_table(table, capsys, monkeypatch):
    terminal(monkeypatch, 200)
    tables.show(table)
    assert any("because " * 11 + "because" in line for line in capsys.readouterr().out.splitlines())


def test_a_narrow_terminal_gets_blocks_of_whole_words(table, capsys, monkeypatch):
    terminal(monkeypatch, 40)
    tables.show(table)
    assert capsys.readouterr().out.splitlines() == [
        "sizes",
        "",
        "first  conv2d",
        "    parameters 1,200",
        "    a very long reason because because",
        "        because because because because",
        "        because because because because",
        "        because because",
        "second  [relu]",
        "total",
        "    parameters 1,200",
        "",
        "all of them together",
    ]


def test_plans_and_summaries_print_whole():
    model = fc.nn.Sequential(fc.nn.Conv2d(1, 2, 3), fc.nn.ReLU(), fc.nn.Flatten(), fc.nn.Linear(72, 10))
    for text in (str(fc.summary(model, (1, 8, 8))), str(fc.compile(model).prepare(fc.tensor([[[[0.0] * 8] * 8]])))):
        assert "…" not in text
        assert "multiplications" in text
