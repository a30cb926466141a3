"""What docs/internals/design.md says of files and imports, written from the sources: `make map`.

The picture has the rows of the import contract in pyproject.toml, and an arrow for each import between rooms that no
longer way round implies.
"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "internals" / "design.md"
PICTURE = ROOT / "docs" / "internals" / "design" / "rooms.svg"
BEGIN, END = "<!-- written by make map -->\n", "<!-- end -->\n"

WIDTH, ROW, BOX_WIDTH, BOX_HEIGHT = 760, 56, 130, 32

Edges = Mapping[str, set[str]]


def sources() -> dict[str, Path]:
    """Every module by its path from the package, such as `capture/loops/scan.py`; `models` lies beside the others."""
    found = {path.relative_to(ROOT / "exporter"): path for path in (ROOT / "exporter").rglob("*.py")}
    found |= {Path("models") / path.name: path for path in (ROOT / "models").glob("*.py")}
    return {name.as_posix(): path for name, path in sorted(found.items()) if not name.name.startswith("__")}


def room_of(module: str) -> str:
    """The folder at the top, or the module itself."""
    return module.partition("/")[0].removesuffix(".py")


def rows() -> list[list[str]]:
    """The rooms from top to bottom, as the contract has them."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    return [[room.strip() for room in layer.replace(":", "|").split("|")] for layer in layers]


def imports() -> dict[str, set[str]]:
    """Which rooms each room imports from, type-checking imports included."""
    known = {room for row in rows() for room in row}
    found: dict[str, set[str]] = {room: set() for row in rows() for room in row}
    for module, path in sources().items():
        room = room_of(module)
        found[room] |= {target for target in _targets(module, path) if target in known and target != room}
    return found


def _targets(module: str, path: Path) -> Iterator[str]:
    depth = module.count("/")
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level == depth + 1:
            yield from [node.module.partition(".")[0]] if node.module else [alias.name for alias in node.names]


def reduced(edges: Edges) -> dict[str, set[str]]:
    """Without the edges that a longer way between the same rooms implies."""

    def reach(room: str) -> set[str]:
        return edges[room] | {far for near in edges[room] for far in reach(near)}

    return {room: near - {far for each in near for far in reach(each)} for room, near in edges.items()}


def draw() -> str:
    """The picture as SVG, in the colour of the text around it."""
    height = ROW * len(rows()) + 8
    places = {
        room: (WIDTH * (i + 1) / (len(row) + 1), 8 + ROW * k + BOX_HEIGHT / 2)
        for k, row in enumerate(rows())
        for i, room in enumerate(row)
    }
    arrows = [
        _arrow(*places[room], *places[near]) for room, all_ in reduced(imports()).items() for near in sorted(all_)
    ]
    boxes = [_box(room, *place) for room, place in places.items()]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif"'
            ' font-size="14" stroke="#7986cb" fill="none">',
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
            '<path d="M0 0L8 4L0 8z" fill="#7986cb" stroke="none"/></marker></defs>',
            *arrows,
            *boxes,
            "</svg>\n",
        ]
    )


def _arrow(x: float, y: float, to_x: float, to_y: float) -> str:
    """From the lower edge of a box to the upper edge of another; a long one bends around what is in between."""
    start, end = y + BOX_HEIGHT / 2, to_y - BOX_HEIGHT / 2
    if to_y - y > ROW and x == to_x:
        side = x + BOX_WIDTH / 2 + 12 + (to_y - y) / 8
        path = f"M{x + BOX_WIDTH / 2:g} {y:g}C{side:g} {y:g} {side:g} {to_y:g} {x + BOX_WIDTH / 2 + 2:g} {to_y:g}"
    else:
        path = f"M{x:g} {start:g}L{to_x:g} {end:g}"
    return f'<path d="{path}" marker-end="url(#tip)"/>'


def _box(room: str, x: float, y: float) -> str:
    left, top = x - BOX_WIDTH / 2, y - BOX_HEIGHT / 2
    return (
        f'<rect x="{left:g}" y="{top:g}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="6" fill="#e8eaf6"/>'
        f'<text x="{x:g}" y="{y + 5:g}" text-anchor="middle" fill="#1a237e" stroke="none">{room}</text>'
    )


def describe_files() -> str:
    """A table per room: each file, and the first line of its docstring."""
    parts = []
    for room in (room for row in rows() for room in row):
        modules = {module: path for module, path in sources().items() if room_of(module) == room}
        lines = [f"| `{_shown(module, room)}` | {_first_line(path)} |" for module, path in modules.items()]
        parts.append("\n".join([f"### {room}\n", "| file | what it does |", "| --- | --- |", *lines]))
    return "\n\n".join(parts) + "\n"


def _shown(module: str, room: str) -> str:
    return module.removeprefix(f"{room}/")


def _first_line(path: Path) -> str:
    return (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0].replace("|", "\\|")


def page() -> str:
    """docs/internals/design.md with its tables written anew."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    return before + BEGIN + "\n" + describe_files() + "\n" + END + rest.partition(END)[2]


if __name__ == "__main__":
    PICTURE.write_text(draw())
    PAGE.write_text(page())
