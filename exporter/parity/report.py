"""The result of a parity run: every case, the verdict, and a sentence about what is wrong."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..pytorch.samples import Case
from ..runtimes.placement import Placement
from ..spec.options import Finding
from .compare import OutputResult
from .evidence import Doubt
from .in_words import shown, verdict_in_words
from .notebook import report_html
from .weights.compare import WeightComparison

# The node by which a file refuses a size beyond its bound (see `optimize/bounds.py`), in an error of ONNX Runtime.
_BOUND = re.compile(r"Name:'(\w+ is at most \d+)'")

Verdict = Literal["PASS", "FAIL", "EXPECTED", "REFUSED"]

# Of a whole report: what every surface shows, with `Report.failure` as the reason of all but PASS.
# UNVERIFIED: every output is right, and no case shows anything of one of them.
Overall = Literal["PASS", "FAIL", "UNVERIFIED"]


@dataclass(frozen=True)
class CaseResult:
    """One case: its outputs' results, or why there are none (`note`); `fed` says in which chunks it ran, if in any.

    PASS: every output is right. FAIL: one is wrong, or the runtime raised. EXPECTED: right except for a known deviation
    of the runtime, which `note` names. REFUSED: PyTorch itself does not run the case; there is nothing to compare.
    """

    case: Case
    outputs: Sequence[OutputResult]
    verdict: Verdict
    note: str = ""
    fed: str = ""

    @property
    def worst(self) -> OutputResult | None:
        """The output nearest to its limit, or furthest beyond it."""
        return max(self.outputs, key=lambda output: output.share, default=None)

    def to_json(self) -> dict[str, Any]:
        """The case as plain data; numbers that JSON lacks are null."""
        return {
            "name": self.case.name,
            "sizes": dict(self.case.sizes),
            "values": self.case.values,
            "seed": self.case.seed,
            "fed": self.fed,
            "verdict": self.verdict,
            "note": self.note,
            "outputs": [_output_json(output) for output in self.outputs],
        }


@dataclass(frozen=True)
class Probed:
    """How many of how many further sizes were tried quickly, and where the file computes what PyTorch refuses (`lax`).

    `ways` counts the ways that values led the model, None where it decides nothing by values. What is wrong is a case
    of the report.
    """

    tried: int
    planned: int
    lax: Sequence[str] = ()
    ways: int | None = None

    def __str__(self) -> str:
        left = "" if self.tried == self.planned else " (the others would take too long)"
        more = f" and {len(self.lax) - 1} more" if len(self.lax) > 1 else ""
        lax = f" PyTorch refuses {self.lax[0]}{more}, and the file does not." if self.lax else ""
        of = "" if self.tried == self.planned else f" of {self.planned}"
        return f"{self.tried}{of} further sizes tried{left}.{lax}{self._ways}"

    @property
    def _ways(self) -> str:
        if self.ways is None:
            return ""
        if self.ways > 1:
            return f" It decides by values: {self.ways} ways were tried, by inputs that stop it earlier or later."
        return " It decides by values, and all inputs drawn led it the same way: give an example that leads it another."

    def to_json(self) -> dict[str, Any]:
        ways = {} if self.ways is None else {"ways": self.ways}
        return {"tried": self.tried, "planned": self.planned, "lax": list(self.lax), **ways}


@dataclass(frozen=True)
class Report:
    """All cases of one artifact in one runtime; `reference` is "tolerance" where a case has no float64 reference.

    `bound` is what reduced-precision weights may cost, relative to each output's scale; 0 for the model's weights.
    `allow_fallback` says whether nodes may run on another execution provider than the requested one. `weights` compares
    the file's weights with the model's. `probed` says which sizes were tried besides; None where none were.
    `path` is the line at which the model takes another path in the case shown than where it was captured, if any.
    `doubt` says why the cases do not show that the file is right, if they do not, and `accepted` which findings the
    export was told to accept.
    """

    artifact: str
    runtime: str
    placement: Placement
    reference: Literal["float64", "tolerance"]
    seed: int
    traced: Mapping[str, int]
    cases: Sequence[CaseResult]
    first_step: int | None = None
    bound: float = 0.0
    allow_fallback: bool = False
    weights: WeightComparison | None = None
    probed: Probed | None = None
    path: str = ""
    doubt: Doubt | None = None
    accepted: Sequence[Finding] = ()

    def __repr__(self) -> str:
        return f"<Report: {self.artifact} {verdict_in_words(self)}, {shown(self)}>"

    def _repr_html_(self) -> str:
        return report_html(self)

    @property
    def passed(self) -> bool:
        """Whether the artifact is known to be right, and ran on the requested provider unless fallback is allowed."""
        is_shown = self.doubt is None or "unverified" in self.accepted
        return self.right and is_shown and not self._fell_back

    @property
    def _fell_back(self) -> bool:
        return bool(self.placement.fallback) and not self.allow_fallback

    @property
    def verdict(self) -> Overall:
        """The one word for the report, beside which `failure` is the reason; one that is accepted keeps its word."""
        if not self.right or self._fell_back:
            return "FAIL"
        return "PASS" if self.doubt is None else "UNVERIFIED"

    @property
    def right(self) -> bool:
        """Whether no case failed, at least one was compared, and no weight differs."""
        return self._outputs_passed and (self.weights is None or self.weights.passed)

    @property
    def _outputs_passed(self) -> bool:
        verdicts = [result.verdict for result in self.cases]
        # A single case that is run again, and is right but for NaN, has nothing beside it that passes.
        return "FAIL" not in verdicts and ("PASS" in verdicts or verdicts == ["EXPECTED"])

    @property
    def mixes_steps(self) -> bool:
        """Whether every case is right in one pass, but some case is wrong in chunks.

        If only the longest case is, rounding errors have grown; then this is False.
        """
        failed = [result for result in self.cases if result.verdict == "FAIL"]
        longest = max((_longest(result) for result in self.cases), default=0)
        return all(result.fed for result in failed) and any(_longest(result) < longest for result in failed)

    @property
    def ratio(self) -> float:
        """The largest error in units of its limit; at most 1 when every case passes."""
        outputs = [output for result in self.cases for output in result.outputs]
        # Outputs that are excused beyond their limit do not count.
        return max((output.share for output in outputs if output.reason or output.share <= 1), default=0.0)

    def count(self, verdict: Verdict) -> int:
        return sum(result.verdict == verdict for result in self.cases)

    @property
    def failure(self) -> str:
        """What is wrong: output, case, how far off, where, and which size was baked in. Empty on success."""
        if self.passed:
            return ""
        if self.verdict == "UNVERIFIED" and self.doubt is not None:
            remedy = f"{self.doubt.remedy}, or accept" if self.doubt.remedy else "Accept"
            return (
                f'{self.artifact} is unverified: {self.doubt.why}. {remedy} it as it is with `accept=["unverified"]`.'
            )
        if self.right:
            return (
                f"{self.artifact} is right, but did not run entirely in {self.runtime}: {self.placement.failure}. "
                f"Export it for another `target` or with another `lowering`, or accept it with `allow_fallback=True`."
            )
        if self._outputs_passed:
            return f"{self.artifact}: outputs match PyTorch's, but weights differ. {self.weights}"
        shown = self.smallest_failure
        if shown is None:
            compared = self.count("EXPECTED")
            why = "no case passes without an excuse" if compared else "PyTorch runs none of the cases"
            return f"{self.artifact}: {why}, so nothing {'shows that it is right' if compared else 'was compared'}."
        return self._wrong_outputs(shown)

    @property
    def smallest_failure(self) -> CaseResult | None:
        """The case of the fewest elements that failed."""
        failed = [result for result in self.cases if result.verdict == "FAIL"]
        return min(failed, key=lambda result: math.prod(result.case.sizes.values()), default=None)

    def _wrong_outputs(self, shown: CaseResult) -> str:
        if "call" in shown.fed:
            why = shown.note or "something is kept from call to call that is not among its states"
            return (
                f"{self.artifact} is right in one call but not in one after another: {why}. In {self.runtime}, "
                f"{self._describe(shown)}."
            )
        if self.mixes_steps:
            return (
                f"{self.artifact} is right in one pass but not in chunks: it mixes time steps other than through its "
                f"states, as a mean, a convolution, attention or a backward loop does. In {self.runtime}, "
                f"{self._describe(shown)}.{self._where_in_time()}"
            )
        path = f" The model takes another path there, at {self.path}." if self.path else ""
        where = f"{self._where_in_time()}{self._baked_in()}{path}"
        return f"{self.artifact} in {self.runtime}: {self._describe(shown)}.{where}"

    def _describe(self, result: CaseResult) -> str:
        wrong = next((output for output in result.outputs if not output.passed), None)
        case = result.case.name + (f", fed {result.fed}" if result.fed else "")
        if wrong is None and (bound := _BOUND.search(result.note)):
            return f"it holds where {bound[1]} only, and PyTorch computes more, in case {case}"
        if wrong is None:
            return f"case {case} failed: {result.note}"
        place = f" at {list(wrong.index)}" if wrong.index else ""
        return f"output '{wrong.output}' {wrong.reason}{place} in case {case}"

    def _where_in_time(self) -> str:
        return "" if self.first_step is None else f" The first difference is at time step {self.first_step}."

    def _baked_in(self) -> str:
        baked = [f"{symbol}={size}" for symbol, size in self.traced.items() if self._is_baked_in(symbol)]
        return f" It is right only at {', '.join(baked)}: the capture baked that size in." if baked else ""

    def _is_baked_in(self, symbol: str) -> bool:
        """Whether the ordinary cases pass at the captured sizes, and all fail where only this size differs."""
        verdicts: dict[bool, set[Verdict]] = {True: set(), False: set()}
        for result in self.cases:
            differing = {name for name, size in result.case.sizes.items() if size != self.traced[name]}
            if not result.fed and result.case.values == "ordinary" and differing <= {symbol}:
                verdicts[not differing].add(result.verdict)
        return verdicts[True] == {"PASS"} and verdicts[False] - {"REFUSED"} == {"FAIL"}

    def to_json(self) -> dict[str, Any]:
        """The whole report as plain data; numbers that JSON lacks are null."""
        return {
            "artifact": self.artifact,
            "runtime": self.runtime,
            "placement": self.placement.to_json(),
            "allow_fallback": self.allow_fallback,
            "passed": self.passed,
            "verdict": self.verdict,
            "reference": self.reference,
            "bound": self.bound,
            "seed": self.seed,
            "traced": dict(self.traced),
            "largest_error_over_limit": _finite(self.ratio),
            "failure": self.failure,
            "unverified": "" if self.doubt is None else self.doubt.why,
            "weights": self.weights and self.weights.to_json(),
            "probed": self.probed and self.probed.to_json(),
            "cases": [result.to_json() for result in self.cases],
        }


def _output_json(output: OutputResult) -> dict[str, Any]:
    return {
        "output": output.output,
        "error": _finite(output.error),
        "limit": _finite(output.limit),
        "index": list(output.index),
        "reason": output.reason,
    }


def _longest(result: CaseResult) -> int:
    return max(result.case.sizes.values(), default=0)


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None
