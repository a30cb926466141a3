"""`make mutation`: plants every kind of fault in several models, and fails where the verifier misses one.

With `--write` the table in docs/internals/parity.md is written anew.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from .edits import EDITS, judge_edit, write_bundles
from .planting import KINDS, Bundle, Kind, export, judge, plant
from .subjects import LARGE, SUBJECTS

_PAGE = Path(__file__).parents[2] / "docs" / "internals" / "parity.md"
_BEGIN, _END = "<!-- written by python -m mutation --write -->\n", "<!-- end -->\n"
_WAYS = ("outputs", "weights", "shape", "dtype", "error", "chunks")
# Of the models that a kind applies to so many, other ones for each kind, so that all have their turn.
_MODELS = 3
_IN_LARGE = (
    "one weight off by a float16 rounding",
    "one weight up by an ulp",
    "two weights swapped",
)


@dataclass(frozen=True)
class Planted:
    """A fault in a model, and what it was caught by; nothing where it was not."""

    kind: str
    subject: str
    caught_by: tuple[str, ...]


def main() -> int:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    progress = Console(stderr=True)
    with tempfile.TemporaryDirectory() as folder:
        everything = list(enumerate((*SUBJECTS, LARGE)))
        exporting = track(everything, "Exporting models", console=progress)
        bundles = [export(subject, Path(folder, str(k))) for k, subject in exporting]
        planting = track(list(enumerate(KINDS)), "Planting faults", console=progress)
        planted = [found for k, kind in planting for found in _plant_some(kind, k, bundles)]
        missed = _missed_edits(Path(folder, "edits"), progress)
    Console(width=None if sys.stdout.isatty() else 160).print(_table(planted), _score(planted), *missed, sep="\n")
    if "--write" in sys.argv:
        _write(planted)
    return 1 if _missed(planted) or _unplanted(planted) or len(missed) > 1 else 0


def _missed_edits(folder: Path, progress: Console) -> list[str]:
    """The edits of whole bundles that are not found though they are not harmless, and how many there are."""
    bundles = write_bundles(folder)
    missed = []
    for k, edit in track(list(enumerate(EDITS)), "Editing bundles", console=progress):
        bundle = Path(shutil.copytree(bundles[edit.bundle], folder / str(k)))
        if bool(judge_edit(edit, bundle)) == bool(edit.harmless):
            missed.append(f"missed: {edit.name}")
    harmless = sum(bool(edit.harmless) for edit in EDITS)
    return [f"{len(EDITS)} edits of bundles, {harmless} of them harmless, {len(missed)} not judged so", *missed]


def _plant_some(kind: Kind, turn: int, bundles: Sequence[Bundle]) -> list[Planted]:
    *small, large = bundles
    chosen = _spread([each for each in small if plant(kind, each, _beside(each))], turn)
    chosen += [large] if kind.name in _IN_LARGE and plant(kind, large, _beside(large)) else []
    return [Planted(kind.name, each.subject.name, judge(each, _beside(each))) for each in chosen]


def _beside(bundle: Bundle) -> Path:
    return bundle.folder.with_suffix(".faulty")


def _spread(bundles: Sequence[Bundle], turn: int) -> list[Bundle]:
    many = min(_MODELS, len(bundles))
    return [bundles[(turn + k * len(bundles) // many) % len(bundles)] for k in range(many)]


_HEADINGS = ("Kind", "What is wrong", "Caught", "By")


def _rows(planted: Sequence[Planted]) -> list[tuple[tuple[str, ...], bool]]:
    """Of each kind the cells of its row, and whether all is well."""
    rows = []
    for kind in KINDS:
        found = [each for each in planted if each.kind == kind.name]
        caught = [each for each in found if each.caught_by]
        cells = (kind.name, kind.sentence, f"{len(caught)} of {len(found)}", _ways(caught))
        rows.append((cells, bool(found) and len(caught) == len(found)))
    return rows


def _table(planted: Sequence[Planted]) -> Table:
    table = Table(*_HEADINGS, box=None, pad_edge=False)
    for cells, good in _rows(planted):
        table.add_row(*cells, style="" if good else "bold red")
    return table


def _write(planted: Sequence[Planted]) -> None:
    """Put the table and the score in their place in the documentation."""
    lines = [_HEADINGS, ["---"] * len(_HEADINGS), *(cells for cells, _ in _rows(planted))]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    before, _, rest = _PAGE.read_text(encoding="utf-8").partition(_BEGIN)
    after = rest.partition(_END)[2]
    _PAGE.write_text(f"{before}{_BEGIN}\n{table}\n\n{_score(planted)}.\n\n{_END}{after}", encoding="utf-8")


def _ways(caught: Sequence[Planted]) -> str:
    counts = {way: sum(way in each.caught_by for each in caught) for way in _WAYS}
    return ", ".join(f"{way} {count}" for way, count in counts.items() if count)


def _missed(planted: Sequence[Planted]) -> list[Planted]:
    return [each for each in planted if not each.caught_by]


def _unplanted(planted: Sequence[Planted]) -> list[str]:
    """Kinds that apply to no model, and so prove nothing."""
    return [kind.name for kind in KINDS if kind.name not in {each.kind for each in planted}]


def _score(planted: Sequence[Planted]) -> str:
    lines = [f"missed: {each.kind} in {each.subject}" for each in _missed(planted)]
    lines += [f"planted nowhere: {name}" for name in _unplanted(planted)]
    caught = len(planted) - len(_missed(planted))
    share = caught / len(planted) if planted else 0.0
    return "\n".join([*lines, f"{len(KINDS)} kinds, {caught} of {len(planted)} faults caught: {share:.0%}"])


if __name__ == "__main__":
    sys.exit(main())
