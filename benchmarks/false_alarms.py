"""Does the verifier fail what is right? Random correct exports, each judged as `rnn-export` judges one by default.

Run as `make calibrate`, or `python -m benchmarks.false_alarms --minutes 10 --seed 0`: it goes on from a seed until the
time is up. It prints every false alarm with its seed, and how far outputs came to their limits, which
docs/internals/parity.md quotes.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field
from math import isfinite
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from rnn_export import CaptureError, ParityError, Report, export_onnx, export_torchscript
from rnn_export.parity.limits import FACTOR

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
class Tried:
    """What came of the export of one seed: its verdicts by kind, its outputs, and the failure or refusal if any."""

    seed: int
    family: str
    seconds: float
    verdicts: Mapping[str, int] = field(default_factory=dict)
    outputs: Sequence[Measured] = ()
    alarm: str = ""
    refused: str = ""

    @property
    def pairs(self) -> int:
        """How many cases were compared."""
        return sum(count for verdict, count in self.verdicts.items() if verdict != "REFUSED")

    @classmethod
    def from_json(cls, line: str) -> Tried:
        data = json.loads(line)
        return cls(**{**data, "outputs": [Measured(**output) for output in data["outputs"]]})


def attempt(seed: int) -> Tried:
    """Export the model of a seed, and keep what its report says."""
    begun, subject = time.monotonic(), random_subject(seed)

    def found(**more: Any) -> Tried:
        return Tried(seed, subject.family, time.monotonic() - begun, **more)

    try:
        report, alarm = _judged(subject, seed), ""
    except ParityError as error:
        report, alarm = error.report, str(error)
    except CaptureError as error:
        # A stream that is refused because it differs in chunks is a false alarm too.
        return found(**{"alarm" if "is right in one pass" in str(error) else "refused": str(error)})
    except Exception as error:  # what is not the verdict of a comparison must not end what has run for so long
        return found(refused=f"{type(error).__name__}: {error}")
    verdicts = dict(Counter(case.verdict for case in report.cases))
    return found(verdicts=verdicts, outputs=[*_measured(subject, report)], alarm=alarm)


def attempt_apart(seed: int) -> Tried:
    """The same in a process of its own, for a runtime may take the process with it."""
    with ProcessPoolExecutor(1, get_context("fork")) as pool:
        try:
            return pool.submit(attempt, seed).result()
        except BrokenProcessPool:
            return Tried(seed, random_subject(seed).family, 0.0, refused="The process that exports it died.")


def _judged(subject: Subject, seed: int) -> Report:
    with tempfile.TemporaryDirectory() as folder:
        export = export_torchscript if subject.torchscript else export_onnx
        exported = export(subject.model, subject.signature, Path(folder) / "out", seed=seed, **subject.options)
    assert exported.report is not None
    return exported.report


def _measured(subject: Subject, report: Report) -> Iterator[Measured]:
    for case in report.cases:
        for output in case.outputs:
            if output.limit and isfinite(output.error):  # integers have no limit, and shapes no error
                limit = output.limit / FACTOR
                yield Measured(subject.family, case.case.values, subject.dtype, output.error, limit, output.scale)


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


def summarize(tried: Sequence[Tried]) -> str:
    """The tables of docs/internals/parity.md."""
    everything = [output for each in tried for output in each.outputs]
    # A float64 model is its own reference: its floor of 1,024 ulps is another measure.
    outputs = [output for output in everything if output.dtype != "float64"]
    families = _by(lambda output: output.family, everything)
    exports = Counter(each.family for each in tried)
    kinds = _by(lambda output: output.values, outputs)
    dtypes = _by(lambda output: output.dtype, [output for output in everything if output.scale])
    headings = ["median", "99%", "99.9%", "largest"]
    return "\n\n".join(
        [
            _table(
                ["exports of", "exports", "pairs", *headings],
                (
                    [
                        name,
                        exports[name],
                        f"{sum(each.pairs for each in tried if each.family == name):,}",
                        *_quantiles([each.ratio for each in group]),
                    ]
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
    record: Path | None = options.record
    lines = record.read_text().splitlines() if record and record.exists() else []
    tried, begun = [Tried.from_json(line) for line in lines], time.monotonic()
    seed = max((each.seed + 1 for each in tried), default=options.seed)
    while time.monotonic() - begun < 60 * options.minutes:
        tried.append(attempt_apart(seed))
        _tell(tried[-1])
        if record:
            with record.open("a") as file:
                file.write(json.dumps(asdict(tried[-1])) + "\n")
        seed += 1
    pairs, seconds = sum(each.pairs for each in tried), sum(each.seconds for each in tried)
    verdicts = sum((Counter(each.verdicts) for each in tried), Counter())
    alarms, refused = (sum(bool(getattr(each, what)) for each in tried) for what in ("alarm", "refused"))
    print(
        f"Seeds {tried[0].seed} to {seed - 1}, torch {torch.__version__}, ONNX Runtime {onnxruntime.__version__}: "
        f"{len(tried)} exports, {pairs:,} pairs of an export and a case ({dict(verdicts)}), "
        f"{sum(len(each.outputs) for each in tried):,} outputs; {seconds:.0f} s, "
        f"{1000 * seconds / max(pairs, 1):.0f} s for 1,000 pairs.\n"
        f"{alarms} false alarms; {refused} exports refused. FACTOR is {FACTOR:g}.\n"
    )
    print(summarize(tried))
    return int(bool(alarms or refused))


def _tell(tried: Tried) -> None:
    for kind, what in (("FALSE ALARM", tried.alarm), ("REFUSED", tried.refused)):
        if what:
            print(f"{kind}, seed {tried.seed}, {tried.family}: {what}", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.false_alarms", description=main.__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="No export begins later than this.")
    parser.add_argument("--seed", type=int, default=0, help="Of the first export; each further one has the next.")
    parser.add_argument("--record", type=Path, help="A file to keep what was found in, and to go on from.")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
