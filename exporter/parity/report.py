"""The result of a parity run: every case, the verdict, and the sentence that says what is wrong."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..pytorch.samples import Case
from ..runtimes.placement import Placement
from .compare import OutputResult
from .weights.verdict import Weights

Verdict = Literal["PASS", "FAIL", "KNOWN", "REFUSED"]


@dataclass(frozen=True)
class CaseResult:
    """One case: its outputs' results, or why there are none (`note`); `fed` says in what chunks, if in any.

    PASS: every output is right. FAIL: one is wrong, or the runtime raised. KNOWN: right but for NaN, which a kernel
    of the runtime is known to hide. REFUSED: PyTorch itself does not run the case, so that nothing is to be compared.
    """

    case: Case
    outputs: Sequence[OutputResult]
    verdict: Verdict
    note: str = ""
    fed: str = ""

    @property
    def worst(self) -> OutputResult | None:
        """The output that is nearest to its limit, or furthest beyond it."""
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
            "outputs": [
                {
                    "output": output.output,
                    "error": _finite(output.error),
                    "limit": _finite(output.limit),
                    "index": list(output.index),
                    "reason": output.reason,
                }
                for output in self.outputs
            ],
        }


@dataclass(frozen=True)
class Report:
    """All cases of one artifact in one runtime; `reference` is "float64", or "tolerance" without a float64 form.

    `bound` is what smaller weights may cost, relative to each output's scale; 0 where the model's own are held.
    `allow_fallback` is whether nodes may run elsewhere than on the execution provider that was asked for.
    `weights` says whether the file holds the model's.
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
    weights: Weights | None = None

    @property
    def passed(self) -> bool:
        """Whether the artifact is right, and ran where it was asked to or was allowed not to."""
        return self.right and (self.allow_fallback or not self.placement.fallback)

    @property
    def right(self) -> bool:
        """Whether no case failed, at least one was compared, and no weight is another than the model's."""
        return self._outputs_passed and (self.weights is None or self.weights.passed)

    @property
    def _outputs_passed(self) -> bool:
        verdicts = [result.verdict for result in self.cases]
        return "FAIL" not in verdicts and "PASS" in verdicts

    @property
    def mixes_steps(self) -> bool:
        """Whether every case is right in one pass, and one is not when it is fed in chunks.

        Where that is the longest alone, it is rounding errors that grow.
        """
        failed = [result for result in self.cases if result.verdict == "FAIL"]
        longest = max((_longest(result) for result in self.cases), default=0)
        return all(result.fed for result in failed) and any(_longest(result) < longest for result in failed)

    @property
    def ratio(self) -> float:
        """The largest error in units of its limit; at most 1 when every case passes."""
        outputs = [output for result in self.cases for output in result.outputs]
        # What is excused although it is beyond its limit does not count.
        return max((output.share for output in outputs if output.reason or output.share <= 1), default=0.0)

    def count(self, verdict: Verdict) -> int:
        return sum(result.verdict == verdict for result in self.cases)

    @property
    def failure(self) -> str:
        """What is wrong: output, case, how far off, where, and which size was baked in. Empty on success."""
        if self.passed:
            return ""
        if self.right:
            return (
                f"{self.artifact} is right, but not in {self.runtime}: {self.placement.failure}. "
                f"Export it for another --target or with another --lowering, or accept it with --allow-fallback."
            )
        if self._outputs_passed:
            return f"{self.artifact} computes what PyTorch does in every case, and has other weights. {self.weights}"
        failed = [result for result in self.cases if result.verdict == "FAIL"]
        if not failed:
            return f"{self.artifact}: PyTorch runs none of the cases, so that nothing was compared."
        shown = min(failed, key=lambda result: math.prod(result.case.sizes.values()))
        if self.mixes_steps:
            return (
                f"{self.artifact} is right in one pass and not in chunks: it mixes time steps in another way than by "
                f"states, a mean, convolution, attention or loop from the end, say. In {self.runtime}, "
                f"{self._describe(shown)}.{self._where_in_time()}"
            )
        return f"{self.artifact} in {self.runtime}: {self._describe(shown)}.{self._where_in_time()}{self._baked()}"

    def _describe(self, result: CaseResult) -> str:
        wrong = next((output for output in result.outputs if not output.passed), None)
        case = result.case.name + (f", fed {result.fed}" if result.fed else "")
        if wrong is None:
            return f"case {case} failed: {result.note}"
        place = f" at {list(wrong.index)}" if wrong.index else ""
        return f"output '{wrong.output}' {wrong.reason}{place} in case {case}"

    def _where_in_time(self) -> str:
        return "" if self.first_step is None else f" They first differ at time step {self.first_step}."

    def _baked(self) -> str:
        """Which sizes were baked in: right at the captured sizes, and wrong wherever that one alone is another."""
        baked = [f"{symbol}={size}" for symbol, size in self.traced.items() if self._is_baked(symbol)]
        if not baked:
            return ""
        return f" It is right at {', '.join(baked)} only: the capture baked that size in."

    def _is_baked(self, symbol: str) -> bool:
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
            "reference": self.reference,
            "bound": self.bound,
            "seed": self.seed,
            "traced": dict(self.traced),
            "largest_error_over_limit": _finite(self.ratio),
            "failure": self.failure,
            "weights": self.weights and self.weights.to_json(),
            "cases": [result.to_json() for result in self.cases],
        }


def _longest(result: CaseResult) -> int:
    return max(result.case.sizes.values(), default=0)


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None
