"""What was measured, as it is stored in docs/internals/benchmarks.json."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median, quantiles
from typing import Any

from .records import Export, LoopTimes, Machine, MambaStep, Memory, Peak, Processes, Written
from .rows import Row, operations


@dataclass(frozen=True)
class Engine:
    """What came of one engine on one row.

    `outcome` is "timed", or "refused" or "wrong", of which `reason` says more. `rounds` are the median seconds of each
    round, `calls` how many calls that was of; `error` is the largest difference from eager PyTorch, relative to the
    largest value; `form` says which of an engine's forms was the fastest.
    """

    outcome: str
    form: str = ""
    error: float = 0.0
    rounds: Sequence[float] = ()
    calls: Sequence[int] = ()
    reason: str = ""

    @property
    def seconds(self) -> float:
        """The median of the rounds."""
        return median(self.rounds)

    @property
    def is_timed(self) -> bool:
        return self.outcome == "timed"

    def as_json(self) -> dict[str, Any]:
        """Its fields; where it was timed, the median and the quartiles too."""
        return {
            **asdict(self),
            **({"seconds": self.seconds, "quartiles": _quartiles(self.rounds)} if self.rounds else {}),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Engine:
        rounds, calls = tuple(data["rounds"]), tuple(data["calls"])
        return cls(data["outcome"], data["form"], data["error"], rounds, calls, data["reason"])


@dataclass(frozen=True)
class RowResult:
    """One row: its engines by name, and the limit in seconds as measured in each round."""

    row: Row
    engines: Mapping[str, Engine]
    limits: Sequence[float]

    @property
    def limit(self) -> float:
        """The least of the rounds, in seconds: what the machine can do when nothing gets in the way."""
        return min(self.limits)

    def rate(self, seconds: float) -> float:
        """Operations per second, in units of 10**9, of a run that takes so long."""
        return operations(self.row) / seconds / 1e9

    def timed(self) -> dict[str, Engine]:
        """The engines that were timed."""
        return {name: engine for name, engine in self.engines.items() if engine.is_timed}

    def line(self) -> str:
        """The row in a line of text."""
        times = [f"{name} {engine.seconds * 1e3:.3g}" for name, engine in self.timed().items()]
        return f"{self.row}: limit {self.limit * 1e3:.3g} ms, {', '.join(times)}"

    def as_json(self) -> dict[str, Any]:
        return {
            **self.row.as_json(),
            "limit": self.limit,
            "limits": list(self.limits),
            "engines": {name: engine.as_json() for name, engine in self.engines.items()},
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> RowResult:
        engines = {name: Engine.from_json(stored) for name, stored in data["engines"].items()}
        return cls(Row.from_json(data), engines, tuple(data["limits"]))


def _quartiles(values: Sequence[float]) -> list[float]:
    if len(values) < 2:
        return [values[0], values[0]]
    low, _, high = quantiles(values, n=4, method="inclusive")
    return [low, high]


@dataclass(frozen=True)
class Setting:
    """Where and when it was measured."""

    date: str
    command: str
    processor: str
    cores: int
    memory: int
    system: str
    versions: Mapping[str, str]
    minutes: float


@dataclass(frozen=True)
class Results:
    """Everything that one run measured; parts that were left out are empty."""

    setting: Setting
    machines: Mapping[int, Machine]
    rows: Sequence[RowResult]
    written: Mapping[str, Written]
    growth: Sequence[RowResult]
    memory: Sequence[Memory]
    exports: Sequence[Export]
    processes: Sequence[Processes]
    peaks: Sequence[Peak]
    loops: Sequence[LoopTimes]
    mamba: Sequence[MambaStep]

    def to_json(self) -> str:
        plain = asdict(self)
        for part in ("rows", "growth"):
            plain[part] = [result.as_json() for result in getattr(self, part)]
        return json.dumps(_rounded(plain), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Results:
        """Read what `to_json` wrote."""
        data = json.loads(text)
        return cls(
            setting=Setting(**data["setting"]),
            machines={
                int(threads): Machine(
                    {int(size): rate for size, rate in machine["bandwidth"].items()}, machine["sgemm"]
                )
                for threads, machine in data["machines"].items()
            },
            rows=[RowResult.from_json(row) for row in data["rows"]],
            written={path: Written(**written) for path, written in data["written"].items()},
            growth=[RowResult.from_json(row) for row in data["growth"]],
            memory=[Memory(**memory) for memory in data["memory"]],
            exports=[Export(**export) for export in data["exports"]],
            processes=[Processes(process["command"], tuple(process["rounds"])) for process in data["processes"]],
            peaks=[Peak(**peak) for peak in data["peaks"]],
            loops=[LoopTimes(**times) for times in data.get("loops", [])],
            mamba=[MambaStep(**step) for step in data.get("mamba", [])],
        )


def _rounded(value: Any) -> Any:
    """Floating point numbers with five digits, which is more than any of them is worth."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value
