"""`python -m trained` measures every model and writes the table in docs/internals/trained.md."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from .measure import Measured, differences, measure
from .zoo import MODELS

PAGE = Path(__file__).parents[2] / "docs" / "internals" / "trained.md"

BEGIN, END = "<!-- written by make trained-page -->\n\n", "\n<!-- end -->\n"

_HEAD = """| package | model | input | cases | share | largest | PyTorch | file | answer |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = {}
        for number, model in enumerate(MODELS):
            place = Path(folder) / str(number)
            place.mkdir()
            found[model.key] = measure(model, place)
            print(_row(model.key, found), flush=True)
    above, _, rest = PAGE.read_text().partition(BEGIN)
    table = _HEAD + "".join(f"{_row(model.key, found)}\n" for model in MODELS)
    PAGE.write_text(f"{above}{BEGIN}{table}{END}{rest.partition(END)[2]}")


def _row(key: str, found: Mapping[str, Measured]) -> str:
    model = next(each for each in MODELS if each.key == key)
    measured = found[key]
    wrong = "; ".join(differences(*measured.answers))
    cells = [
        *(model.key, model.what, model.said, str(measured.cases), f"{measured.share:.0%}"),
        *(f"{measured.scale:.3g}", f"{measured.of_pytorch:.1e}", f"{measured.of_file:.1e}", wrong or "the same"),
    ]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
