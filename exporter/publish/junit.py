"""A verification as JUnit XML, which CI systems show: a suite of cases per artifact, and one of the bundle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

from ..errors import BundleError, InputError, RnnExportError, type_in_words
from ..parity.report import CaseResult, Report
from ..verification import Verification
from ..whole_file import check_mark, write_whole

Outcome = Literal["passed", "failure", "error", "skipped"]

# XML 1.0 has no such characters, not even escaped.
_UNWRITABLE = dict.fromkeys((*range(9), 11, 12, *range(14, 32), *range(55296, 57344), 65534, 65535), "?")


@dataclass(frozen=True)
class _Test:
    """A test of an artifact or of the bundle, and what is said of how it came out."""

    of: str
    name: str
    outcome: Outcome = "passed"
    message: str = ""


def write_junit(path: str | Path, reports: Verification | Sequence[Report]) -> None:
    """Write the file: it has a failure if and only if a report failed.

    A case that PyTorch refuses is a skipped test, an expected difference a test with output. Beside the cases there are
    tests of the bundle: its integrity, and of each artifact its weights, where its nodes ran, and the verdict.

    Args:
        path: of the XML file.
        reports: a verification, or its reports.

    Raises:
        InputError: the file cannot be written, or an argument is of another kind.
    """
    if not isinstance(path, (str, Path)):
        raise InputError(f"`path` is {type_in_words(path)}. Give a path first, and then the verification.")
    found = list(reports.reports) if isinstance(reports, Verification) else reports
    if not isinstance(found, Sequence) or not all(isinstance(report, Report) for report in found):
        raise InputError(f"`reports` is {type_in_words(reports)}. Give what verify returned, or its reports.")
    suites = {
        f"{report.artifact} in {report.runtime}": [_case_test(report, result) for result in report.cases]
        for report in found
    }
    whole = [_Test("bundle", "integrity"), *(test for report in found for test in _artifact_tests(report))]
    _write(Path(path), {**suites, "bundle": whole})


def write_junit_error(path: str | Path, error: RnnExportError) -> None:
    """Write the file for a bundle that could not be verified: a failure where it is damaged, else an error.

    Raises:
        InputError: the file cannot be written, or another file is there.
    """
    damaged = isinstance(error, BundleError)
    test = _Test("bundle", "integrity" if damaged else "verify", "failure" if damaged else "error", str(error))
    _write(Path(path), {"bundle": [test]})


def _case_test(report: Report, result: CaseResult) -> _Test:
    name = result.case.name + (f", fed {result.fed}" if result.fed else "")
    if result.verdict == "FAIL":
        wrong = (f"{output.output} {output.reason}" for output in result.outputs if not output.passed)
        return _Test(report.artifact, name, "failure", next(wrong, result.note))
    return _Test(report.artifact, name, "skipped" if result.verdict == "REFUSED" else "passed", result.note)


def _artifact_tests(report: Report) -> list[_Test]:
    """Of the weights, where its nodes ran, and where none of these fails, and no case, the verdict."""
    tests = [_weights_test(report), _placement_test(report)]
    if report.count("FAIL") or any(test.outcome == "failure" for test in tests):
        return tests
    verdict: Outcome = "passed" if report.passed else "failure"
    return [*tests, _Test(report.artifact, "verdict", verdict, report.failure or report.verdict)]


def _weights_test(report: Report) -> _Test:
    weights = report.weights
    if weights is None or weights.why:
        why = "Weights: not compared." if weights is None else str(weights)
        return _Test(report.artifact, "weights", "skipped", why)
    return _Test(report.artifact, "weights", "passed" if weights.passed else "failure", str(weights))


def _placement_test(report: Report) -> _Test:
    placement = report.placement
    if not placement.nodes:
        return _Test(report.artifact, "placement", "skipped", f"{report.runtime} tells nothing of execution providers.")
    if not placement.fallback:
        return _Test(report.artifact, "placement", message=f"All that computes ran on {placement.provider}.")
    outcome: Outcome = "passed" if report.allow_fallback else "failure"
    return _Test(report.artifact, "placement", outcome, placement.failure)


def _write(path: Path, suites: dict[str, list[_Test]]) -> None:
    root = ElementTree.Element("testsuites", _counts([test for tests in suites.values() for test in tests]))
    for name, tests in suites.items():
        suite = ElementTree.SubElement(root, "testsuite", {"name": _plain(name), **_counts(tests)})
        for test in tests:
            _add(suite, test)
    ElementTree.indent(root)
    try:
        check_mark(Path(path), b"<testsuite", "JUnit file")
        write_whole(Path(path), ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({error.strerror}). Give another place for the JUnit file."
        ) from error


def _counts(tests: Sequence[_Test]) -> dict[str, str]:
    kinds = {"failures": "failure", "errors": "error", "skipped": "skipped"}
    counted = {name: str(sum(test.outcome == outcome for test in tests)) for name, outcome in kinds.items()}
    return {"tests": str(len(tests)), **counted}


def _add(suite: ElementTree.Element, test: _Test) -> None:
    case = ElementTree.SubElement(suite, "testcase", classname=_plain(test.of), name=_plain(test.name))
    if test.outcome != "passed":
        ElementTree.SubElement(case, test.outcome, message=_plain(test.message))
    elif test.message:
        ElementTree.SubElement(case, "system-out").text = _plain(test.message)


def _plain(text: str) -> str:
    return text.translate(_UNWRITABLE)
