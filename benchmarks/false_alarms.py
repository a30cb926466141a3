"""Does the verifier fail what is right? Random correct exports, each judged as `rnn-export` judges one by default.

Run as `make calibrate`, or `python -m benchmarks.false_alarms --minutes 10 --seed 0`: it goes on from a seed until the
time is up. It prints every false alarm with its seed, and how far outputs came to their limits, which docs/parity.md
quotes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from rnn_export import ParityError, Report, RnnExportError, export_onnx, export_torchscript
from rnn_export.parity.compare import FACTOR

from .random_models import Subject, random_subject


@dataclass(frozen=True)
class Measured:
    """One output of one case: its error and its limit at FACTOR = 1, and the scale that both are relative to."""

    family: str
    values: str
    dtype: str
    error: float
    limit: float
    scale: float

    @property
    def ratio(self) -> float:
        return self.error / self.limit if self.limit else 0.0

    def ulps(self, size: float) -> float:
        """So large an error in units of the dtype's eps times the scale."""
        return size / (float(np.finfo(self.dtype).eps) * self.scale)


@dataclass(frozen=True)
class Found:
    """What came out: exports and pairs of an export and a case by family, alarms, refusals, and every output."""

    exports: Counter[str] = field(default_factory=Counter)
    pairs: Counter[str] = field(default_factory=Counter)
    verdicts: Counter[str] = field(default_factory=Counter)
    alarms: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    outputs: list[Measured] = field(default_factory=list)

    def add(self, seed: int) -> None:
        """Export the model of a seed and keep what its report says."""
        subject = random_subject(seed)
        try:
            report, failure = _judged(subject, seed), ""
        except ParityError as error:
            report, failure = error.report, str(error)
        except RnnExportError as error:
            # A stream that is refused because it differs in chunks is a false alarm too.
            (self.alarms if "is right in one pass" in str(error) else self.refused).append(f"seed {seed}: {error}")
            return
        except Exception as error:  # a fault of the exporter, which must not end what has run for so long
            self.refused.append(f"seed {seed}: {type(error).__name__}, {error}")
            return
        self.exports[subject.family] += 1
        self.pairs[subject.family] += sum(case.verdict != "REFUSED" for case in report.cases)
        self.verdicts.update(case.verdict for case in report.cases)
        self.outputs.extend(_measured(subject, report))
        if failure:
            self.alarms.append(f"seed {seed}, {subject.family}, gain {subject.gain:g}: {failure}")


def _judged(subject: Subject, seed: int) -> Report:
    with tempfile.TemporaryDirectory() as folder:
        export = export_torchscript if subject.torchscript else export_onnx
        exported = export(subject.model, subject.signature, Path(folder) / "out", seed=seed, **subject.options)
    assert exported.report is not None
    return exported.report


def _measured(subject: Subject, report: Report) -> Iterable[Measured]:
    for case in report.cases:
        for output in case.outputs:
            if output.limit and isfinite(output.error):  # integers have no limit, and shapes no error
                yield Measured(
                    subject.family,
                    case.case.values,
                    subject.dtype,
                    output.error,
                    output.limit / FACTOR,
                    output.scale,
                )


def _quantiles(numbers: Sequence[float]) -> list[str]:
    return [f"{np.quantile(numbers, share):.2g}" for share in (0.5, 0.99, 0.999, 1)]


def _table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def _by(key: Callable[[Measured], str], outputs: Iterable[Measured]) -> dict[str, list[Measured]]:
    groups: dict[str, list[Measured]] = defaultdict(list)
    for output in outputs:
        groups[key(output)].append(output)
    return groups


def summarize(found: Found) -> str:
    """The tables of docs/parity.md."""
    # A float64 model is its own reference: its floor of 1,024 ulps is another measure.
    outputs = [output for output in found.outputs if output.dtype != "float64"]
    families = _by(lambda output: output.family, found.outputs)
    kinds = _by(lambda output: output.values, outputs)
    dtypes = _by(lambda output: output.dtype, [output for output in found.outputs if output.scale])
    headings = ["median", "99%", "99.9%", "largest"]
    return "\n\n".join(
        [
            _table(
                ["exports of", "exports", "pairs", *headings],
                (
                    [name, found.exports[name], f"{found.pairs[name]:,}", *_quantiles([each.ratio for each in group])]
                    for name, group in sorted(families.items())
                ),
            ),
            _table(
                ["values", "outputs", *headings],
                (
                    [kind, f"{len(group):,}", *_quantiles([each.ratio for each in group])]
                    for kind, group in kinds.items()
                ),
            ),
            _table(
                [
                    "dtype",
                    "outputs",
                    *(f"runtime {name}" for name in headings),
                    *(f"limit {name}" for name in headings),
                ],
                (
                    [
                        dtype,
                        f"{len(group):,}",
                        *_quantiles([each.ulps(each.error) for each in group]),
                        *_quantiles([each.ulps(each.limit) for each in group]),
                    ]
                    for dtype, group in dtypes.items()
                ),
            ),
        ]
    )


def main(arguments: Sequence[str]) -> int:
    """Count false alarms, and print how far correct exports come to their limits, in units of the limit at FACTOR = 1.

    Returns 1 where there is a false alarm, or an export that is refused.
    """
    options = _parser().parse_args(arguments)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # PyTorch warns of dropout, deprecated calls and the like in what is drawn
    found, begun, seed = Found(), time.monotonic(), options.seed
    end = options.seed + options.exports if options.exports else 2**32
    while seed < end and time.monotonic() - begun < 60 * options.minutes:
        known = len(found.alarms), len(found.refused)
        found.add(seed)
        seed += 1
        for kind, told in (("FALSE ALARM", found.alarms[known[0] :]), ("REFUSED", found.refused[known[1] :])):
            print("\n".join(f"{kind} {each}" for each in told), end="\n" if told else "", flush=True)
    seconds, pairs = time.monotonic() - begun, found.pairs.total()
    print(
        f"Seeds {options.seed} to {seed - 1}, torch {torch.__version__}, ONNX Runtime {onnxruntime.__version__}: "
        f"{found.exports.total()} exports, {pairs:,} pairs of an export and a case ({dict(found.verdicts)}), "
        f"{len(found.outputs):,} outputs; {seconds:.0f} s, {1000 * seconds / max(pairs, 1):.0f} s for 1,000 pairs.\n"
        f"{len(found.alarms)} false alarms; {len(found.refused)} exports refused. FACTOR is {FACTOR:g}.\n"
    )
    print(summarize(found))
    return int(bool(found.alarms or found.refused))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.false_alarms", description=main.__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="No export begins later than this.")
    parser.add_argument("--seed", type=int, default=0, help="Of the first export; each further one has the next.")
    parser.add_argument("--exports", type=int, help="So many at most.")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
