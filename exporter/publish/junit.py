"""A verification as JUnit XML, which CI systems show: a suite per artifact, a test per case."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from ..errors import InputError
from ..parity.report import CaseResult, Report
from ..whole_file import check_mark, write_whole


def write_junit(path: str | Path, reports: Sequence[Report]) -> None:
    """Write the file: a case that PyTorch refuses is a skipped test, an expected difference a test with output.

    Raises:
        InputError: the file cannot be written, or another file is there.
    """
    root = ElementTree.Element("testsuites")
    for report in reports:
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=f"{report.artifact} in {report.runtime}",
            tests=str(len(report.cases)),
            failures=str(report.count("FAIL")),
            skipped=str(report.count("REFUSED")),
        )
        for result in report.cases:
            _add(suite, report, result)
    ElementTree.indent(root)
    try:
        check_mark(Path(path), b"<testsuite", "JUnit file")
        write_whole(Path(path), ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({error.strerror}). Give another place for the JUnit file."
        ) from error


def _add(suite: ElementTree.Element, report: Report, result: CaseResult) -> None:
    name = result.case.name + (f", fed {result.fed}" if result.fed else "")
    test = ElementTree.SubElement(suite, "testcase", classname=report.artifact, name=name)
    if result.verdict == "FAIL":
        wrong = next(
            (f"{output.output} {output.reason}" for output in result.outputs if not output.passed), result.note
        )
        ElementTree.SubElement(test, "failure", message=wrong)
    elif result.verdict == "REFUSED":
        ElementTree.SubElement(test, "skipped", message=result.note)
    elif result.note:
        ElementTree.SubElement(test, "system-out").text = result.note
