"""Compare a file with PyTorch at many sizes, quickly: where a model takes another path at one size alone.

At each size PyTorch runs once, in the model's own precision. What is further from that than rounding explains is judged
as any other case is, and counts only if another draw of values fails at that size too: a rounding does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from math import inf, prod
from time import perf_counter, thread_time

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ..errors import InputError, UnavailableError
from ..pytorch.named_numbers import numbers_of
from ..pytorch.paths import other_path
from ..pytorch.randomness import watching
from ..pytorch.run import as_tensors
from ..pytorch.samples import Case
from ..runtimes.session import Session
from ..spec.artifact import Values
from ..spec.signature import Signature
from .case_generator import CaseGenerator
from .check import check_case
from .chunks import Chunked, describe_chunks, random_lengths
from .expected import Expected
from .limits import FLOOR
from .reference import RefusedError
from .report import CaseResult, Probed
from .sizes import sizes_for
from .standards import NOTHING, Standard, usual_scale
from .ways import Drawn, draw_ways

Array = NDArray[np.generic]

# Seconds of this thread's work that a probe may take, so that no other process decides how far it comes; and of the
# clock, for a runtime may be a process of its own. What is left out then is counted in the report.
BUDGET = 3.0
_PATIENCE = 4 * BUDGET

# More sizes at which a file is wrong say no more than these.
_ENOUGH = 3
_QUICK = 4 * FLOOR
_WATCHED = 300


@dataclass(frozen=True)
class Trial:
    """A case to try, and for a stream the lengths of its chunks, if it is not fed in one pass."""

    case: Case
    chunks: Sequence[int] = ()

    @property
    def elements(self) -> int:
        return prod(self.case.sizes.values())


@dataclass(frozen=True)
class Prober:
    """What a probe needs of a model: its outputs, and the whole numbers that its code names."""

    model: nn.Module
    generator: CaseGenerator
    numbers: Sequence[int]
    seed: int

    @classmethod
    def of(cls, model: nn.Module, generator: CaseGenerator, item: Expected, seed: int) -> Prober:
        """For a model in evaluation mode, which is run once, with the inputs of `item`, to read the numbers."""
        return cls(model, generator, numbers_of(model, as_tensors(item.inputs)), seed)

    @property
    def signature(self) -> Signature:
        return self.generator.drawing.signature

    def inputs(self, case: Case) -> dict[str, Array]:
        return self.generator.drawing.inputs(case)

    def eager(self, inputs: Mapping[str, Array]) -> dict[str, Array] | None:
        """PyTorch's outputs; None where it refuses these inputs."""
        try:
            return self.generator.oracle.eager(inputs)
        except RefusedError:
            return None

    def ways(self, sizes: Mapping[str, int]) -> list[Drawn]:
        """Inputs of these sizes that lead the model different ways."""
        return draw_ways(self.model, self.generator.drawing, sizes, self.seed)

    def other_path(self, usual: Mapping[str, Array], other: Mapping[str, Array]) -> str:
        """The line at which the model does something else with other inputs; empty where it does not."""
        return other_path(self.model, as_tensors(usual), as_tensors(other))


@dataclass
class Probe:
    """A probe of one file; `session` runs it in one pass, `stored` are the numbers in it."""

    session: Session
    prober: Prober
    bound: float
    stored: Sequence[int] = ()
    failed: list[tuple[Expected, CaseResult]] = field(default_factory=list)
    lax: list[Case] = field(default_factory=list)

    def run(
        self, decides_at: Mapping[str, int] | None = None, advance: Callable[[int, int], None] = lambda done, of: None
    ) -> Probed:
        """Try every size, within the budget; `failed` then holds what is wrong, `lax` what PyTorch alone refuses.

        Args:
            decides_at: sizes at which a file that decides by values is tried with inputs that lead it different ways.

        Raises:
            UnavailableError: the runtime cannot run the file.
            RandomError: the model draws random numbers at some size.
        """
        trials = [*self._trials()]
        with self.prober.generator.oracle.threads():
            tried = self._try_all(trials, advance)
            ways = None if decides_at is None else self._try_ways(self.prober.ways(decides_at))
        return Probed(tried, len(trials), tuple(sorted({case.name for case in self.lax})), ways)

    def _try_ways(self, ways: Sequence[Drawn]) -> int:
        """Run the inputs of each way; returns how many ways there are."""
        for drawn in ways:
            eager = self.prober.eager(drawn.inputs)
            got = self._run(self.session, drawn.inputs)
            if eager is not None and (got is None or not self._alike(got, self._seen(eager, drawn.case))):
                item = self.prober.generator.feed(drawn.case, drawn.inputs)
                result = check_case(self.session, item, self.bound)
                self.failed += [(item, result)] if result.verdict == "FAIL" else []
        return len({drawn.way for drawn in ways})

    def _try_all(self, trials: Sequence[Trial], advance: Callable[[int, int], None]) -> int:
        """Try what there is time for, until enough has failed; returns how many were tried."""
        tried, rate, start, begun = 0, inf, thread_time(), perf_counter()
        for trial in trials:
            left = start + BUDGET - thread_time()
            if left < 0 or perf_counter() > begun + _PATIENCE or len(self.failed) >= _ENOUGH:
                break
            if tried and rate * trial.elements > left:
                continue
            before = thread_time()
            self._try(trial)
            rate = min(rate, (thread_time() - before) / trial.elements)
            tried += 1
            advance(tried, len(trials))
        return tried

    def _trials(self) -> Iterator[Trial]:
        signature, numbers = self.prober.signature, self.prober.numbers
        values: Values = "longest" if any(spec.has_lengths for spec in signature.inputs.values()) else "ordinary"
        for k, sizes in enumerate(sizes_for(signature, numbers, self.stored, self.prober.generator.drawing.least)):
            yield Trial(Case(sizes, "ordinary" if k % 2 else values, self.prober.seed + k))
            chunked = self.session if isinstance(self.session, Chunked) else None
            if chunked is not None and chunked.stream.multiple == 1 and sizes[chunked.time] in numbers:
                yield from self._chunked(sizes, chunked.time)

    def _chunked(self, sizes: Mapping[str, int], time: str) -> Iterator[Trial]:
        """A stream some steps beyond a number, in chunks of random lengths, and one as long as the number."""
        number = sizes[time]
        case = Case({**sizes, time: number + 3}, "ordinary", self.prober.seed)
        yield Trial(case, random_lengths(number + 3, number))
        yield Trial(case, [number, 3])

    def _try(self, trial: Trial) -> None:
        try:
            inputs = self.prober.inputs(trial.case)
        except InputError:  # the caller's function makes no such case
            return
        # Watching takes several times as long; at the sizes left out noise shows as a difference.
        with watching() if trial.elements <= _WATCHED else nullcontext():
            eager = self.prober.eager(inputs)
        got = self._run(self._fed(trial), inputs)
        if eager is None:
            # What PyTorch refuses in one pass may be right in chunks.
            self.lax += [] if got is None or trial.chunks else [trial.case]
        elif got is None or not self._alike(got, self._seen(eager, trial.case)):
            self._judge(trial)

    def _run(self, session: Session, inputs: Mapping[str, Array]) -> dict[str, Array] | None:
        try:
            return session.run(inputs)
        except UnavailableError:
            raise
        except Exception:  # each runtime raises classes of its own
            return None

    def _seen(self, eager: Mapping[str, Array], case: Case) -> Mapping[str, Array]:
        """What of PyTorch's outputs a stream gives."""
        if not isinstance(self.session, Chunked):
            return eager
        steps = case.sizes[self.session.time]
        return {name: self.session.seen(name, array, steps) for name, array in eager.items()}

    def _fed(self, trial: Trial) -> Session:
        if not trial.chunks:
            return self.session
        assert isinstance(self.session, Chunked)
        return replace(self.session, plan=lambda T: trial.chunks)

    def _alike(self, got: Mapping[str, Array], eager: Mapping[str, Array]) -> bool:
        standards = self.prober.generator.standards
        return all(_near(got[name], eager[name], standards.get(name, NOTHING), self.bound) for name in eager)

    def _judge(self, trial: Trial) -> None:
        """Judge the case in full, twice."""
        again = replace(trial.case, seed=trial.case.seed + 1)
        fed = describe_chunks(trial.chunks) if trial.chunks else ""
        items = [self.prober.generator.draw(case) for case in (trial.case, again)]
        results = [check_case(self._fed(trial), item, self.bound) for item in items]
        if all(result.verdict == "FAIL" for result in results):
            self.failed.append((items[0], replace(results[0], fed=fed)))


def _near(got: Array, eager: Array, standard: Standard, bound: float) -> bool:
    """Whether an output is within rounding of PyTorch's, relative to what each channel usually holds."""
    if got.shape != eager.shape or got.dtype != eager.dtype:
        return False
    if eager.dtype.kind != "f":
        return bool((got == eager).all())
    finite = np.isfinite(eager)
    if not np.array_equal(got[~finite], eager[~finite], equal_nan=True):
        return False
    values = np.where(finite, eager, 0).astype(np.float64)
    usual = np.maximum(np.abs(values), usual_scale(standard, eager.shape))
    limits = np.maximum(_QUICK * float(np.finfo(eager.dtype.name).eps), bound / 2) * usual
    return bool((np.abs(np.where(finite, got, 0).astype(np.float64) - values) <= limits).all())
