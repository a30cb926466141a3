"""The command line says Python's arguments as its own options."""

from __future__ import annotations

import pytest
from rnn_export.cli.main import main
from rnn_export.cli.wording import in_options


@pytest.mark.parametrize(
    ("command", "message", "said"),
    [
        ("onnx", "Export it without `stateful=True`.", "Export it without --stateful."),
        ("onnx", "Leave out `lowering='native'` or `quantize`.", "Leave out --lowering native or --quantize."),
        ("onnx", "Write it with `verify=False`.", "Write it with --no-verify."),
        ("torchscript", 'Trace it (`method="trace"`).', "Trace it (--method trace)."),
        ("onnx", "`max_error` bounds what they cost.", "--max-error bounds what they cost."),
        ("onnx", "Give the checkpoint too, as `weights=PATH`.", "Give the checkpoint too, as --weights PATH."),
        ("onnx", "Pass `target=VALUE`.", "Give it with --set target=VALUE."),
        ("onnx", 'such as `inputs={"x": "float32[T, N, 3]"}`.', "such as --input 'x: float32[T, N, 3]'."),
        ("onnx", "no disk. Fix that first.", "no disk. Fix that first; --debug shows where."),
        ("verify", '`model="a.py:Net"` allows it', "--model a.py:Net allows it"),
        # What is no option of the command stays, and so does what a user's code says.
        ("verify", "It is without `stateful=True`.", "It is without `stateful=True`."),
        ("onnx", "raised ValueError: seed=7 and stateful=True", "raised ValueError: seed=7 and stateful=True"),
        ("onnx", "weights='zz' does not fit.", "weights='zz' does not fit."),
    ],
)
def test_python_arguments_become_options(command: str, message: str, said: str) -> None:
    assert in_options(message, main.commands[command]) == said


def test_outside_of_a_command_nothing_changes() -> None:
    assert in_options("`stateful=True`") == "`stateful=True`"
