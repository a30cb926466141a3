"""A verification as JUnit XML, which CI systems show: a suite per artifact, a test per case."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from ..parity.report import CaseResult, Report


def write_junit(path: Path, reports: Sequence[Report]) -> None:
    """Write the file: what PyTorch refuses is a skipped test, what is known of a runtime is in a test's output."""
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
    ElementTree.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


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
