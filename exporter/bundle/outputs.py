"""How a manifest describes outputs: dtype and dimensions, such as `float32[T, N, 3]`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..errors import UnavailableError
from ..parity.chunks import element_order
from ..parity.expected import Expected, output_dims
from ..runtimes.open import open_session
from ..spec.artifact import Artifact
from ..spec.dims import parse, spell
from ..spec.signature import Signature


def describe_outputs(expected: Sequence[Expected]) -> dict[str, str]:
    """Each output's dtype and dimensions; a product such as `T*N` is spelled in any order."""
    first = next(item.reference for item in expected if item.reference is not None)
    return {name: spell(first.eager[name].dtype.name, dims) for name, dims in output_dims(expected).items()}


def in_order(
    described: Mapping[str, str],
    folder: Path,
    artifacts: Mapping[str, Artifact],
    signature: Signature,
    expected: Sequence[Expected],
) -> dict[str, str]:
    """The same with products in the order in which the elements lie: `N*T` where those of a sequence are together.

    Who joins the chunks of a stream has to know it. Shapes do not tell; feeding the stream one step at a time does.
    """
    streaming = next((entry for entry in artifacts.items() if entry[1].stream is not None), None)
    if streaming is None or not any("*" in text for text in described.values()):
        return dict(described)
    name, artifact = streaming
    assert artifact.stream is not None
    try:
        session = open_session(artifact.runtime, folder / name, signature.outputs)
    except UnavailableError:  # nothing can be verified here either
        return dict(described)
    parsed = {output: parse(text) for output, text in described.items()}
    dims = {output: own for output, (_, own) in parsed.items()}
    found = element_order(session, artifact.stream, signature, expected, dims)
    return {output: spell(parsed[output][0], own) for output, own in found.items()}
