"""Copy a bundle for shipping, without the parts that are not needed there; the manifest is written anew."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from ..bundle.complete import complete
from ..bundle.files import Bundle
from ..bundle.manifest import CASES, README, WEIGHTS, Manifest, check_newest
from ..bundle.replace import replacing
from ..errors import InputError, did_you_mean
from ..spec.option_values import check_list

# What can be left out besides model files.
_PARTS = {"weights": WEIGHTS, "cases": CASES}


@dataclass(frozen=True)
class WrittenFiles:
    """A folder that was written, the size of each file in bytes, and notes on it."""

    folder: Path
    files: dict[str, int]
    notes: tuple[str, ...] = ()


def copy_bundle(bundle: str | Path | Bundle, out: str | Path, *, without: Sequence[str] = ()) -> WrittenFiles:
    """Copy a bundle, some parts of it left out; what stays is as it was verified.

    Args:
        bundle: the folder, or one that was opened.
        out: the new bundle, which takes the place of a bundle there.
        without: "weights", "cases", the name of a model file such as "model.pt", or of a file that was added.

    Raises:
        BundleError: `bundle` is not one, or of an older format, or `out` cannot be written.
        InputError: `without` is no list, there is no such part, no model file would be left, or `out` lies in the
            bundle.
    """
    check_list("without", without)
    opened, out = Bundle.open(bundle), Path(out)
    opened.check_outside(out)
    check_newest(opened.folder)
    manifest = opened.manifest
    for part in without:
        manifest = _without(manifest, part)
    with replacing(out) as temporary:
        for name in manifest.files:
            if name != README:  # which is written anew, and may have been taken away
                shutil.copy2(opened.folder / name, temporary / name)
        complete(temporary, manifest)
    return WrittenFiles(out, sizes_of(out), tuple(_notes(manifest)))


def sizes_of(folder: Path) -> dict[str, int]:
    """The size of each file below a folder, in bytes."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.stat().st_size for path in files}


def _without(manifest: Manifest, part: str) -> Manifest:
    models = {name: manifest.files_of(name) for name in manifest.artifacts}
    added = {name: [name] for name in manifest.added}
    parts = {**{name: [file] for name, file in _PARTS.items()}, **models, **added}
    if part not in parts:
        raise InputError(
            f"There is no part '{part}' to leave out.{did_you_mean(part, parts)} Choose from {', '.join(parts)}."
        )
    left = {name: artifact for name, artifact in manifest.artifacts.items() if name != part}
    if not left:
        raise InputError(f"Without {part} the bundle would hold no model. Keep a model file.")
    return replace(
        manifest,
        artifacts=left,
        files={name: entry for name, entry in manifest.files.items() if name not in parts[part]},
        cases=() if part == "cases" else manifest.cases,
    )


def _notes(manifest: Manifest) -> list[str]:
    weights, cases = WEIGHTS in manifest.files, CASES in manifest.files
    if not weights and not cases:
        return ["It holds neither weights nor cases: nobody can verify it again."]
    if not weights:
        return ["It holds no weights: verify replays its cases, and makes no fresh ones."]
    return [] if cases else ["It holds no cases: only rnn-export can verify it, where the model can be built again."]
