"""Reading ONNX Runtime's profile: which node ran on which execution provider, and for how long."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import weakref
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnxruntime as ort

from .session import Ran, Role

Event = Mapping[str, Any]
_KERNEL = "_kernel_time"
_DRIVERS = ("Scan", "Loop", "If")

# Beyond so many integers it is data: a tensor's shape has fewer.
_MOST_SIZES = 8


class Profile:
    """The profile of a session to be made, in a folder that goes when this does."""

    def __init__(self, options: ort.SessionOptions) -> None:
        folder = tempfile.mkdtemp(prefix="rnn-export-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")

    def end(self, session: ort.InferenceSession) -> list[Ran]:
        """Stop profiling, and tell what ran in the session's last run."""
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
        return read_nodes(events)


def read_nodes(events: Sequence[Event]) -> list[Ran]:
    """What ran in the last run of the model, what took the longest first.

    A provider that runs asynchronously, as those of GPUs do, is timed for starting its work, and where it waits.
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
    """The operator's name; of a provider's own subgraph, which is numbered, without the number."""
    return re.sub(r"(_\d+)+$", "", str(node["args"]["op_name"]))


def _role(node: Event) -> Role:
    operator = node["args"]["op_name"]
    if operator in _DRIVERS:
        return "drives"
    if operator.startswith("Memcpy"):
        return "copies"
    return "sizes" if _reads_sizes(node["args"].get("input_type_shape", [])) else "computes"


def _reads_sizes(inputs: Sequence[Mapping[str, Sequence[int]]]) -> bool:
    """Whether a node has inputs, and they are all a few integers."""
    kinds = [(dtype, shape) for entry in inputs for dtype, shape in entry.items()]
    few = all(len(shape) <= 1 and sum(shape) <= _MOST_SIZES for _, shape in kinds)
    return bool(kinds) and few and all(dtype.startswith("int") for dtype, _ in kinds)
