"""Names that a user chooses for the states of a stream: a template such as `h{layer}`, filled in for each state.

The fields, as the state `rnn.1.c0` of two layers of an LSTM has them:

    {module}  rnn.1        {layer}   1: which layer it is, counting from 0
    {kind}    c            {index}   3: which state it is, counting from 0
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from string import Formatter

from ..errors import InputError, did_you_mean

FIELDS = ("layer", "module", "kind", "index")

# The names that onnxruntime-genai derives for the states of recurrent layers: two of each layer.
GENAI = "onnxruntime-genai"
_GENAI_KINDS = ("conv_state", "recurrent_state")

_EXAMPLE = "Write it like 'h{layer}' or 'past.{layer}.{kind}=present.{layer}.{kind}'"


def check_template(template: str) -> None:
    """See that a template can be filled in.

    Raises:
        InputError: it has another field than `FIELDS`, or is no text of such a form.
    """
    if not isinstance(template, str) or not template:
        raise InputError(f"`state_names` is {template!r:.60}. {_EXAMPLE}.")
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        raise InputError(f"The state names '{template}' have a stray brace ({error}). {_EXAMPLE}.") from None
    for _, field, form, conversion in parts:
        if field is not None and (field not in FIELDS or form or conversion):
            raise InputError(
                f"The state names '{template}' have no field '{field}' to fill in.{did_you_mean(field, FIELDS)} "
                f"Choose from {', '.join(f'{{{name}}}' for name in FIELDS)}."
            )


def chosen_names(template: str, found: Sequence[str]) -> dict[str, tuple[str, str]]:
    """What goes in and what comes out, by the names that the states were found under, such as `rnn.0.h0`.

    Raises:
        InputError: two states would have one name, or a name has other characters than names do; or the states cannot
            be dealt two to a layer, as onnxruntime-genai has them.
    """
    from .signature import is_name  # with numpy, which --help does without

    chosen = _genai(found) if template == GENAI else _filled(template, found)
    names = [name for pair in chosen.values() for name in pair]
    for name, count in Counter(names).items():
        if not is_name(name):
            raise InputError(f"A state would be called '{name}'. Use letters, digits, underscores and dots.")
        if count > 1:
            raise InputError(
                f"The template '{template}' calls more than one state '{name}'; they are {', '.join(found)}. "
                f"Tell them apart by {' or '.join(f'{{{field}}}' for field in FIELDS)}."
            )
    return chosen


def _filled(template: str, found: Sequence[str]) -> dict[str, tuple[str, str]]:
    before, equals, after = template.partition("=")
    layers = list(dict.fromkeys(_module(name) for name in found))
    chosen = {}
    for index, name in enumerate(found):
        module = _module(name)
        fields = {"module": module, "layer": layers.index(module), "kind": _kind(name), "index": index}
        goes_in = before.format_map(fields)
        chosen[name] = goes_in, after.format_map(fields) if equals else f"{goes_in}_n"
    return chosen


def _genai(found: Sequence[str]) -> dict[str, tuple[str, str]]:
    if len(found) % 2:
        raise InputError(
            f"onnxruntime-genai has two states to a layer, and the model has {len(found)}: {', '.join(found)}. "
            "Name them with a template, and feed the file with a program of your own."
        )
    windows = [name for name in found if _kind(name) == "x"]
    others = [name for name in found if name not in windows]
    pairs = (
        zip(windows, others, strict=True) if len(windows) == len(others) else zip(found[::2], found[1::2], strict=True)
    )
    numbered = [
        (f"{layer}.{kind}", name)
        for layer, pair in enumerate(pairs)
        for kind, name in zip(_GENAI_KINDS, pair, strict=True)
    ]
    return {name: (f"past_key_values.{own}", f"present.{own}") for own, name in numbered}


def _module(name: str) -> str:
    return name.rpartition(".")[0]


def _kind(name: str) -> str:
    return name.rpartition(".")[2].removesuffix("0")
