"""docs/internals/compatibility.md: the table, what was counted, and why what failed did."""

from __future__ import annotations

import platform
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version

from .model import Model, Result

Results = Mapping[Model, Mapping[str, Result]]

_TITLES = {
    "ours": "rnn-export",
    "dynamo": "`torch.onnx.export`",
    "deprecated": "`torch.onnx.export(dynamo=False)`",
}
_LONGEST = 160


@dataclass(frozen=True)
class Page:
    """A page of the documentation: the name of its file, and how it begins."""

    name: str
    head: str


COMPATIBILITY = Page(
    "compatibility",
    """\
# Compatibility

Recurrent models that others wrote and published on PyPI, exported as they stand: small sizes, random weights from a
fixed seed (or those that the package ships), time and batch dynamic. `make wild` installs the packages, runs everything
and writes this page; it fails when a model stops being right, or starts to be. The models and how each is called are in
`tests/wild/zoo/`. State spaces, linear attention and delta rules have [a page of their own](recurrences.md).
""",
)

RECURRENCES = Page(
    "recurrences",
    """\
# Recurrences of today

State spaces, linear attention, delta rules and gates in log space, as others wrote and published them on PyPI: small
sizes, random weights from a fixed seed, time and batch dynamic, no cache, in plain PyTorch without own kernels.
Many run in parallel over time: as a scan, or in chunks that T is padded to a multiple of. `make wild` runs them with
those of [compatibility.md](compatibility.md); they are in `tests/wild/zoo/recurrences.py`.
""",
)

_HEAD = """\
Each model is exported by rnn-export and by PyTorch's two exporters, each in a process of its own, and each export is
compared with PyTorch in ONNX Runtime on the same cases: other lengths and batches than the example's, 1 to 257, and
values from zero to saturating (see [parity.md](parity.md)).

| outcome | meaning |
| --- | --- |
| right | every case |
| **wrong** | in some case something else comes out than PyTorch computes, and nothing says so |
| refused | the exporter raised, and wrote nothing |
| cannot run | a file was written that ONNX Runtime does not load, or not at other sizes |

`torch.onnx.export` is given named dimensions and, where it refuses these, `Dim.AUTO`.
"""


def render(page: Page, results: Results) -> str:
    """The page, as Markdown."""
    decoding = {model: result for model, result in results.items() if model.stateful}
    results = {model: result for model, result in results.items() if not model.stateful}
    packages = {model.package for model in results}
    return "\n".join(
        [
            page.head,
            _HEAD,
            f"## {len(results)} models from {len(packages)} packages",
            "",
            *_counts(results),
            "",
            f"{_versions()}.",
            "",
            "## Each model",
            "",
            *_table(results),
            "",
            *(_decoding(decoding) if decoding else []),
            "## What rnn-export does not export",
            "",
            *(_gaps({**results, **decoding}) or ["Nothing of the above."]),
            "",
            "## What the others say",
            "",
            "The first line of the error, or the first case that is not right.",
            "",
            *_reasons(results),
            "",
        ]
    )


def _counts(results: Results) -> list[str]:
    rows = ["| | right | **wrong** | refused | cannot run |", "| --- | ---: | ---: | ---: | ---: |"]
    for way, title in _TITLES.items():
        counted = Counter(result[way].outcome for result in results.values())
        rows.append(
            f"| {title} | {counted['right']} | {counted['wrong']} | {counted['refused']} | {counted['cannot run']} |"
        )
    return rows


def _versions() -> str:
    named = ", ".join(f"{name} {version(name).partition('+')[0]}" for name in ("torch", "onnxscript", "onnxruntime"))
    return f"Python {platform.python_version().rpartition('.')[0]}, {named}"


def _table(results: Results) -> list[str]:
    rows = [
        f"| package | model | what is hard about it | {' | '.join(_TITLES.values())} |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    before = ""
    for model, result in results.items():
        package = "" if model.package == before else f"{model.package} {version(model.package).partition('+')[0]}"
        cells = " | ".join(_cell(result[way]) for way in _TITLES)
        rows.append(f"| {package} | {model.name} | {model.hard} | {cells} |")
        before = model.package
    return rows


def _decoding(results: Results) -> list[str]:
    """The section on models that are called again and again, which rnn-export alone exports with their states."""
    rows = [
        f"| {model.package} | {model.name} | {model.hard} | {_cell(result['ours'])} |"
        for model, result in results.items()
    ]
    return [
        "## Decoding one token at a time",
        "",
        "A wrapper of a few lines calls the model with one token and keeps its cache in an attribute. Exported with",
        "`stateful=True`, what the cache holds becomes states, and what grows has a size P that begins at 0. Compared",
        "with PyTorch's own decoding, token for token: 2,000 where the states have a fixed size, 400 where they grow.",
        "",
        "| package | model | what is kept | rnn-export |",
        "| --- | --- | --- | --- |",
        *rows,
        "",
    ]


def _cell(result: Result) -> str:
    outcome = "**wrong**" if result.outcome == "wrong" else result.outcome
    return f"{outcome} {result.how}".strip()


def _gaps(results: Results) -> list[str]:
    return [
        f"* {model.key}: {model.gap or _plain(result['ours'].reason)}"
        for model, result in results.items()
        if result["ours"].outcome != "right"
    ]


def _reasons(results: Results) -> list[str]:
    rows = ["| model | exporter | |", "| --- | --- | --- |"]
    for model, result in results.items():
        rows += [
            f"| {model.key} | {_TITLES[way]} | {result[way].outcome}: {_plain(result[way].reason)} |"
            for way in ("dynamo", "deprecated")
            if result[way].outcome != "right"
        ]
    return rows


def _plain(reason: str) -> str:
    """Short, without what changes from run to run, and without what Markdown takes for its own."""
    short = re.sub(r"0x[0-9a-f]+|/[\w./-]*/", "", reason)[:_LONGEST]
    return re.sub(r"([|*_<>\[\]`])", r"\\\1", short)


def surprises(results: Results) -> Iterable[str]:
    """What is not as the models' data says."""
    for model, result in results.items():
        mine = result["ours"]
        if mine.outcome != "right" and not model.gap:
            yield f"{model.key} is {mine.outcome}, and should be right: {mine.reason}"
        if mine.outcome == "right" and model.gap:
            yield f"{model.key} is right: take its gap out ({model.gap})"
