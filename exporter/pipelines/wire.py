"""From what a user says of exported graphs to the pipeline that is written: every feed, every state, what runs when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from msgspec import UNSET, UnsetType

from ..bundle.assemble import package_versions
from ..bundle.files import hash_file
from ..bundle.manifest import MANIFEST, Manifest
from ..errors import InputError
from ..spec.artifact import Artifact
from ..spec.dims import parse
from ..spec.pipeline import GIVEN, RESET, TOKEN, Begin, Feed, Frame, Graph, Logits, Pipeline, Text, Transducer
from ..spec.signature import TensorSpec
from ..spec.streams import State, declared_states, multiply
from ..spec.wiring import Ends, Wire, read_wiring, runs_of

Start = int | Sequence[int] | None


@dataclass(frozen=True)
class Written:
    """A graph that was exported: its folder, and the file in it."""

    bundle: str
    file: str
    folder: Path
    manifest: Manifest

    @property
    def artifact(self) -> Artifact:
        return self.manifest.artifacts[self.file]

    @property
    def states(self) -> dict[str, State]:
        stream = self.artifact.stream
        found = declared_states(self.manifest.signature) if stream is None else stream.states
        return {state.name: state for state in found}

    @property
    def inputs(self) -> dict[str, TensorSpec]:
        """All inputs of the file, those of hidden states last."""
        hidden = {name: TensorSpec(state.dtype, state.shape) for name, state in self.states.items()}
        return {**self.manifest.inputs, **{k: spec for k, spec in hidden.items() if k not in self.manifest.inputs}}

    @property
    def ends(self) -> Ends:
        outputs = [*self.manifest.outputs, *(state.output for state in self.states.values())]
        return Ends([*self.inputs], list(dict.fromkeys(outputs)), {k: each.output for k, each in self.states.items()})


def wire(
    name: str,
    graphs: Mapping[str, Written],
    wiring: Mapping[str, str],
    decoding: Transducer | Text,
    logits: str | Sequence[str],
    start: Start,
    batch: str,
) -> Pipeline:
    """The pipeline of these graphs.

    Raises:
        InputError: the wiring does not fit the graphs, or the decoding does not fit the wiring.
    """
    for each, graph in graphs.items():
        _check_timing(each, graph)
    wires = read_wiring({**_carried_on(graphs), **wiring}, {each: graph.ends for each, graph in graphs.items()})
    runs = runs_of(wires)
    found = {
        each: Graph(
            graph.bundle,
            graph.file,
            hash_file(graph.folder / MANIFEST).sha256,
            runs[each],
            {k: _feed(f"{each}.{k}", graph, k, wired, graphs) for k, wired in wires[each].items()},
        )
        for each, graph in graphs.items()
    }
    if not any("token" in graph.runs for graph in found.values()):
        raise InputError(f"No graph reads the {TOKEN} that was emitted. Wire one: 'step.token': '{TOKEN}'.")
    given = _given(graphs, wires, batch)
    chosen_from = _logits(graphs, logits, runs)
    begin = _start(found, decoding, start, needed=isinstance(chosen_from.first, UnsetType))
    _check_decoding(found, decoding)
    _check_silent(graphs, chosen_from, decoding)
    return Pipeline(
        name=name,
        inputs=given,
        graphs=found,
        logits=chosen_from,
        start=begin,
        decoding=decoding,
        checked=None,
        versions=package_versions(),
    )


def _check_timing(name: str, graph: Written) -> None:
    """Refuse a stream whose chunks need counting: frames that come late would be decoded as those of another time."""
    stream = graph.artifact.stream
    if stream is not None and not stream.time:
        raise InputError(
            f"'{name}' keeps its state in the module itself, one call after another, which a pipeline cannot follow in "
            "PyTorch. Have its forward take and return the state."
        )
    if stream is None or (stream.multiple == 1 and not stream.timings):
        return
    late = next(iter(stream.timings), "")
    why = f"takes {stream.multiple} steps at a time" if stream.multiple > 1 else f"puts out '{late}' late"
    raise InputError(f"As a stream '{name}' {why}, which a pipeline does not count. Export it without `stateful=True`.")


def _carried_on(graphs: Mapping[str, Written]) -> dict[str, str]:
    """The states of a graph begin where the earlier one that has the same file has left them."""
    found: dict[str, str] = {}
    for name, graph in graphs.items():
        earlier = next(each for each, other in graphs.items() if other.folder == graph.folder)
        if earlier != name:
            found |= {f"{name}.{state}": f"{earlier}.{each.output}" for state, each in graph.states.items()}
    return found


def _feed(target: str, graph: Written, name: str, wired: Wire | None, graphs: Mapping[str, Written]) -> Feed:
    state = graph.states.get(name)
    then = UNSET if state is None else state.output
    if wired is None:
        assert state is not None
        return Feed(RESET, then, begin=Begin(state.dtype, _one(state.shape), state.entry.reset))
    if wired.source == TOKEN:
        spec = graph.inputs[name]
        if not spec.dtype.startswith("int"):
            raise InputError(f"'{target}' takes a token as {spec}. Make it int64: embed it in the graph.")
        return Feed(TOKEN, begin=Begin(spec.dtype, _one(spec.shape)))
    hidden = state is not None and name not in graph.manifest.inputs
    if hidden and not wired.source.startswith(GIVEN) and graphs[wired.source.partition(".")[0]].folder != graph.folder:
        raise InputError(
            f"'{target}' is a hidden state, which PyTorch does not take. Have it begin as it is reset, or make it an "
            "input of the model."
        )
    return Feed(wired.source, then, UNSET if wired.frame is None else wired.frame)


def _one(shape: Sequence[str | int]) -> tuple[int, ...]:
    """A shape for one sequence and one step."""
    return tuple(multiply(dim, _Ones()) if isinstance(dim, str) else dim for dim in shape)


class _Ones(dict[str, int]):
    def __missing__(self, name: str) -> int:
        return 1


def _given(graphs: Mapping[str, Written], wires: Mapping[str, Mapping[str, Wire | None]], batch: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for graph, inputs in wires.items():
        for name, wired in inputs.items():
            if wired is not None and wired.source.startswith(GIVEN):
                spec = graphs[graph].inputs[name].fixed({batch: 1})
                described = f"{spec.dtype}[{', '.join(map(str, spec.shape))}]"
                if found.setdefault(wired.source.removeprefix(GIVEN), described) != described:
                    raise InputError(
                        f"'{graph}.{name}' takes {described}, another graph {wired.source} as something else."
                    )
    if not found:
        raise InputError("Nothing is given to the pipeline. Leave an input of the first graph unwired.")
    return found


def _logits(graphs: Mapping[str, Written], logits: str | Sequence[str], runs: Mapping[str, Sequence[str]]) -> Logits:
    names = [logits] if isinstance(logits, str) else [*logits]
    known = {f"{graph}.{name}": text for graph, each in graphs.items() for name, text in each.manifest.outputs.items()}
    for name in names:
        dtype, dims = parse(known[name]) if name in known else ("", ())
        if not dtype.startswith("float") or not dims or not isinstance(dims[-1], int):
            described = f", which is {known[name]}" if name in known else ""
            raise InputError(
                f"The logits are '{name}'{described}. Name an output with a logit for each token in its last dimension."
            )
    once = [name for name in names if not runs[name.partition(".")[0]]]
    steps = [name for name in names if name not in once]
    if len(steps) != 1 or len(once) > 1:
        raise InputError(
            f"The logits are {', '.join(names)}. Name one output of a graph that reads the {TOKEN}, and one of a graph "
            "that runs once if the first token is chosen from that."
        )
    return Logits(steps[0], once[0] if once else UNSET)


def _start(graphs: Mapping[str, Graph], decoding: Transducer | Text, start: Start, *, needed: bool) -> tuple[int, ...]:
    begins = [feed.begin for graph in graphs.values() for feed in graph.inputs.values() if feed.source == TOKEN]
    count = max((each.count for each in begins if isinstance(each, Begin)), default=1)
    if start is None and isinstance(decoding, Transducer):
        start = decoding.blank
    if start is None and not needed and count == 1:
        return ()
    if start is None:
        raise InputError("Nothing is said of the token before the first one. Give `start`.")
    tokens = (start,) * count if isinstance(start, int) else tuple(start)
    if len(tokens) < count:
        raise InputError(f"A graph reads the last {count} tokens, and `start` has {len(tokens)}. Give as many.")
    return tokens


def _check_decoding(graphs: Mapping[str, Graph], decoding: Transducer | Text) -> None:
    framed = [
        f"{name}.{each}"
        for name, graph in graphs.items()
        for each, feed in graph.inputs.items()
        if isinstance(feed.frame, Frame)
    ]
    if isinstance(decoding, Transducer) and not framed:
        raise InputError("A transducer reads frame by frame. Wire it so: 'joiner.encoder': 'encoder.out[:, t]'.")
    if isinstance(decoding, Text) and framed:
        raise InputError(f"'{framed[0]}' is fed frame by frame, which text is not. Feed it with the whole output.")


def _check_silent(graphs: Mapping[str, Written], logits: Logits, decoding: Transducer | Text) -> None:
    """See that the token which is not emitted is one that may be chosen."""
    named, silent = ("blank", decoding.blank) if isinstance(decoding, Transducer) else ("end", decoding.end)
    graph, _, output = logits.step.partition(".")
    count = parse(graphs[graph].manifest.outputs[output])[1][-1]
    if silent is not None and isinstance(count, int) and silent >= count:
        raise InputError(
            f"The {named} token is {silent}, and '{logits.step}' has logits for tokens from 0 to {count - 1} alone, so "
            f"that it is never chosen. Give one of these as `{named}`."
        )
