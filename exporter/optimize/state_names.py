"""Call the states of a stream what the user wants them called, in the graph and in what is recorded of it."""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir as ir
from msgspec.structs import replace

from ..errors import InputError
from ..spec.signature import Signature
from ..spec.state_names import chosen_names
from ..spec.streams import StreamSpec
from .stateful import make_room


def rename_states(model: ir.Model, signature: Signature, stream: StreamSpec, template: str) -> StreamSpec:
    """Rename the states that were exposed; those that the model itself takes and returns keep their names.

    Raises:
        InputError: two would have one name, or one that an input or output of the model has.
    """
    hidden = [name for name in stream.entries if name not in signature.inputs]
    chosen = chosen_names(template, hidden)
    names = {name: before for name, (before, _) in chosen.items()}
    names |= {stream.entries[name].output: after for name, (_, after) in chosen.items()}
    taken = next((name for name in names.values() if name in {*signature.inputs, *signature.outputs}), None)
    if taken is not None:
        raise InputError(f"A state would be called '{taken}', as an input or output of the model is. Choose another.")
    _rename(model.graph, names)
    entries = {
        names.get(name, name): replace(entry, output=names.get(entry.output, entry.output))
        for name, entry in stream.entries.items()
    }
    return replace(stream, entries=entries)


def _rename(graph: ir.Graph, names: Mapping[str, str]) -> None:
    ends = [value for value in (*graph.inputs, *graph.outputs) if value.name in names]
    # One may take the name that another lets go of.
    for value in ends:
        value.name = f"{value.name}.renamed"
    for value, name in zip(ends, [names[str(value.name).removesuffix(".renamed")] for value in ends], strict=True):
        make_room(graph, name)
        value.name = name
