"""The command line says Python's arguments as its own options."""

from __future__ import annotations

import click
import pytest
from rnn_export.cli.main import main
from rnn_export.cli.wording import in_options


@pytest.mark.parametrize(
    ("command", "message", "said"),
    [
        ("onnx", "Export it without stateful=True.", "Export it without --stateful."),
        (
            "onnx",
            'Leave out lowering="native", or quantize="int8".',
            "Leave out --lowering native, or --quantize int8.",
        ),
        ("onnx", "Leave out lowering='native' or quantize.", "Leave out --lowering native or quantize."),
        ("onnx", "Write it with verify=False.", "Write it with --no-verify."),
        ("onnx", "Leave opset=18 as it is.", "Leave --opset 18 as it is."),
        ("torchscript", 'Use method="trace", or fix its forward.', "Use --method trace, or fix its forward."),
        ("onnx", "max_error bounds what they cost.", "--max-error bounds what they cost."),
        ("onnx", "Give the checkpoint too, as weights=PATH.", "Give the checkpoint too, as --weights PATH."),
        ("onnx", "Pass hidden_size=VALUE.", "Give it with --set hidden_size=VALUE."),
        ("onnx", 'such as inputs={"x": "float32[T, N, 3]"}.', "such as --input 'x: float32[T, N, 3]'."),
        (
            "onnx",
            "raised OSError: no disk. Fix that first.",
            "raised OSError: no disk. Fix that first; --debug shows where.",
        ),
        ("verify", 'model="a.py:Net" allows it', "--model a.py:Net allows it"),
        # What is no option of the command stays, sizes too.
        ("verify", "It is without stateful=True.", "It is without stateful=True."),
        ("onnx", "Not enough memory for T=1000,N=5.", "Not enough memory for T=1000,N=5."),
    ],
)
def test_python_arguments_become_options(command: str, message: str, said: str) -> None:
    context = click.Context(main)
    context.invoked_subcommand = command
    assert in_options(message, context) == said


def test_outside_of_a_command_nothing_changes() -> None:
    assert in_options("stateful=True", click.Context(main)) == "stateful=True"
