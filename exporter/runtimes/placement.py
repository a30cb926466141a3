"""Which operators ran on which execution provider, and for how long, read from ONNX Runtime's profile."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import weakref
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:  # whose package is imported only where it is used
    import onnxruntime as ort

Role = Literal["computes", "drives", "sizes", "copies"]

# How many operators a sentence names; the table names them all.
_SHOWN = 3


@dataclass(frozen=True)
class Ran:
    """One kind of operator on one execution provider: how often it ran in one run, and its share of the time.

    The role is "computes" for work on the model's data; "drives" for Scan, Loop and If, which only run the nodes in
    their bodies; "sizes" for what reads a few integers, the sizes of tensors; "copies" for copies from one provider's
    memory to another's. The time of a body's nodes does not count for the node that drives them.
    """

    operator: str
    provider: str
    runs: int
    share: float
    role: Role


@dataclass(frozen=True)
class Placement:
    """The requested provider, the runtime's version, and what ran where, if the runtime records it."""

    provider: str
    version: str
    nodes: Sequence[Ran] = ()

    @property
    def absent(self) -> bool:
        """Whether nodes ran, but none on the provider."""
        return bool(self.nodes) and not any(ran.provider == self.provider for ran in self.nodes)

    @property
    def fallback(self) -> tuple[Ran, ...]:
        """What should have run on the provider but did not: everything, where no node ran there."""
        if self.absent:
            return tuple(self.nodes)
        return tuple(ran for ran in self.nodes if ran.provider != self.provider and ran.role == "computes")

    @property
    def failure(self) -> str:
        """What ran elsewhere, in words; empty where nothing did."""
        if self.absent:
            return f"not one node ran on {self.provider}"
        shown = [
            f"{ran.operator} ({ran.runs} {'run' if ran.runs == 1 else 'runs'}, {100 * ran.share:.2g}% of the time) "
            f"ran on {ran.provider}"
            for ran in self.fallback[:_SHOWN]
        ]
        more = len(self.fallback) - len(shown)
        return ", ".join([*shown, *([f"and so did {more} more"] if more > 0 else [])])

    def to_json(self) -> dict[str, Any]:
        return {
            "provider": self.provider,
            "version": self.version,
            "fallback": [ran.operator for ran in self.fallback],
            "nodes": [{**vars(ran), "share": round(ran.share, 4)} for ran in self.nodes],
        }


Event = Mapping[str, Any]
_KERNEL = "_kernel_time"
_DRIVERS = ("Scan", "Loop", "If")

# More integers than this are data: a tensor's shape has fewer.
_MOST_SIZES = 8


class Profile:
    """Makes a session write a profile, to a folder that is deleted with this object."""

    def __init__(self, options: ort.SessionOptions) -> None:
        folder = tempfile.mkdtemp(prefix="rnn-export-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")

    def end(self, session: ort.InferenceSession) -> list[Ran]:
        """Stop profiling; returns what ran in the session's last run."""
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
        return read_nodes(events)


def read_nodes(events: Sequence[Event]) -> list[Ran]:
    """What ran in the last run of the model, the longest first.

    Providers of GPUs run asynchronously: their time is that of starting work, and of waiting for it.
    """
    nodes = _last_run(events)
    times = dict(_own_times(nodes))
    runs: dict[tuple[str, str, Role], list[float]] = defaultdict(list)
    for i, node in enumerate(nodes):
        runs[_operator(node), node["args"]["provider"], _role(node)].append(times[i])
    total = sum(times.values()) or 1.0
    found = [
        Ran(operator, provider, len(durations), sum(durations) / total, role)
        for (operator, provider, role), durations in runs.items()
    ]
    return sorted(found, key=lambda ran: -ran.share)


def _last_run(events: Sequence[Event]) -> list[Event]:
    """The node events of the last run, in the order in which they began, a body's after the node that runs it."""
    last = max((event for event in events if event["name"] == "model_run"), key=lambda event: int(event["ts"]))
    nodes = [
        event
        for event in events
        if event.get("cat") == "Node"
        and event["name"].endswith(_KERNEL)
        and last["ts"] <= event["ts"] <= last["ts"] + last["dur"]
    ]
    return sorted(nodes, key=lambda event: (event["ts"], -event["dur"]))


def _own_times(nodes: Sequence[Event]) -> Iterator[tuple[int, float]]:
    """Each node's time without that of the nodes in its body, by its position."""
    inside = [0.0] * len(nodes)
    running: list[int] = []
    for i, node in enumerate(nodes):
        while running and node["ts"] >= nodes[running[-1]]["ts"] + nodes[running[-1]]["dur"]:
            running.pop()
        if running:
            inside[running[-1]] += node["dur"]
        if node["args"]["op_name"] in _DRIVERS:
            running.append(i)
    for i, node in enumerate(nodes):
        yield i, max(0.0, node["dur"] - inside[i])


def _operator(node: Event) -> str:
    """The operator's name; for a provider's own subgraph, without its number."""
    return re.sub(r"(_\d+)+$", "", str(node["args"]["op_name"]))


def _role(node: Event) -> Role:
    operator = node["args"]["op_name"]
    if operator in _DRIVERS:
        return "drives"
    if operator.startswith("Memcpy"):
        return "copies"
    return "sizes" if _reads_sizes(node["args"].get("input_type_shape", [])) else "computes"


def _reads_sizes(inputs: Sequence[Mapping[str, Sequence[int]]]) -> bool:
    """Whether a node has inputs, all of them a few integers."""
    kinds = [(dtype, shape) for entry in inputs for dtype, shape in entry.items()]
    few = all(len(shape) <= 1 and sum(shape) <= _MOST_SIZES for _, shape in kinds)
    return bool(kinds) and few and all(dtype.startswith("int") for dtype, _ in kinds)
