"""A report of a bundle for people: one HTML page with its style, plots and tables inside."""

from __future__ import annotations

import os
import platform
import shlex
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import jinja2
from rich.filesize import decimal

from ..bundle.assemble import package_versions
from ..bundle.manifest import Manifest, read_manifest
from ..bundle.rebuild import rebuild
from ..errors import InputError
from ..onnx_file import all_nodes, read_onnx
from ..parity.fault import Fault
from ..parity.in_words import behind, shown, verdict_in_words
from ..parity.report import CaseResult, Report
from ..pytorch.request import Progress, silent
from ..spec.artifact import Artifact
from ..verification import Verification, verify
from ..whole_file import check_mark, write_whole
from .graph_picture import Picture, draw_graph
from .measure import Measured, measure
from .plain_numbers import compared, duration, power_of_ten, share
from .plots import draw_course, draw_grid, draw_ulps
from .speed import Speed
from .words import Words

# By which a page is known that may be written over; in the template.
_MARK = b'<meta name="generator" content="rnn-export">'


@dataclass(frozen=True)
class Section:
    """What the page says of one artifact; plots are SVG, empty where there is nothing to plot."""

    artifact: Artifact
    report: Report
    fault: Fault | None
    size: int
    operators: Mapping[str, int]
    picture: Picture | None
    grid: str
    course: str
    course_output: str
    ulps: str
    speeds: list[Speed]

    @property
    def notes(self) -> list[str]:
        """What smaller weights cost, and what is remarked on cases, each once."""
        return [
            *self.artifact.costs,
            *dict.fromkeys(f"{result.note}." for result in self.report.cases if _is_remark(result)),
        ]


def render(
    folder: Path,
    manifest: Manifest,
    verification: Verification,
    measured: Mapping[str, Measured],
    command: str = "",
) -> str:
    """The page's HTML; `command` is what makes the same page again."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("rnn_export.publish", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    words = Words()
    environment.filters |= {
        "bytes": decimal,
        "duration": duration,
        "power_of_ten": power_of_ten,
        "share": share,
        "verdict_in_words": verdict_in_words,
        "shown": shown,
        "behind": behind,
        "worded": words.explain_in,
    }
    faults = {fault.failing.artifact: fault for fault in verification.faults}
    sections = [
        _section(folder, manifest, report, faults.get(report.artifact), measured.get(report.artifact))
        for report in verification.reports
    ]
    return environment.get_template("report.html.jinja").render(
        manifest=manifest,
        verification=verification,
        sections=sections,
        when=datetime.now(UTC),
        machine=_machine(),
        here=package_versions(),
        command=command,
        compared=compared,
        word=words.explain,
        words=words,
    )


def _section(
    folder: Path, manifest: Manifest, report: Report, fault: Fault | None, measured: Measured | None
) -> Section:
    file, artifact = folder / report.artifact, manifest.artifacts[report.artifact]
    is_onnx = artifact.opset is not None
    nodes = all_nodes(read_onnx(file, weights=False).graph) if is_onnx else ()
    return Section(
        artifact=artifact,
        report=report,
        fault=fault,
        size=manifest.files[report.artifact].bytes,
        operators=dict(Counter(node.op_type for node in nodes).most_common()),
        picture=draw_graph(file) if is_onnx else None,
        grid=draw_grid(measured.grid) if measured and measured.grid else "",
        course=draw_course(measured.course) if measured and measured.course else "",
        course_output=measured.course.output if measured and measured.course else "",
        ulps=draw_ulps(measured.ulps) if measured and measured.ulps else "",
        speeds=list(measured.speeds) if measured else [],
    )


def _is_remark(result: CaseResult) -> bool:
    """Whether a case has a note that is not the reason why it failed."""
    return bool(result.note) and result.verdict != "FAIL"


def _machine() -> str:
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"


def write_report(
    bundle: str | Path,
    out: str | Path | None = None,
    *,
    model: str | None = None,
    seed: int | None = None,
    progress: Progress = silent,
) -> tuple[Path, bool]:
    """Verify a bundle, measure it, and write the page; returns its path and whether every artifact passed.

    Args:
        bundle: the folder.
        out: the page; by default `<bundle>.report.html`, beside the folder.
        model: as for `verify`.
        seed: as for `verify`.
        progress: as for `verify`.

    Raises:
        UnavailableError: matplotlib is not installed.
        InputError: the page cannot be written there, or another file is there.
        BundleError, LoadError: as for `verify`.
    """
    path, verification = verify_and_report(bundle, out, model=model, seed=seed, progress=progress)
    return path, verification.passed


def verify_and_report(
    bundle: str | Path, out: str | Path | None, *, model: str | None, seed: int | None, progress: Progress
) -> tuple[Path, Verification]:
    """The same; returns what was found, too."""
    folder = Path(bundle)
    path = folder.resolve().with_name(f"{folder.resolve().name}.report.html") if out is None else Path(out)
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise InputError(f"{path} cannot be written. Give another place for the page.")
    check_mark(path, _MARK, "page of rnn-export")
    verification = verify(folder, model=model, seed=seed, progress=progress)
    manifest = read_manifest(folder)
    measured: dict[str, Measured] = {}
    if verification.how == "rebuilt":
        rebuilt = rebuild(folder, manifest, model)
        measured = measure(folder, manifest, rebuilt.model, rebuilt.example, verification.seed, progress)
    try:
        command = _command(bundle, out, model, verification)
        write_whole(path, render(folder, manifest, verification, measured, command).encode())
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}). Give another place for the page.") from error
    return path, verification


def _command(bundle: str | Path, out: str | Path | None, model: str | None, verification: Verification) -> str:
    """What makes the same page again, with the seed that was drawn."""
    seed = ["--seed", str(verification.seed)] if verification.how == "rebuilt" else []
    named = [*(["--out", str(out)] if out else []), *(["--model", model] if model else [])]
    return shlex.join(["rnn-export", "report", str(bundle), *named, *seed])
