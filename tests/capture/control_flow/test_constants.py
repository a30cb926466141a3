"""What is computed from parameters and buffers alone is known; with an input's size in it, it is not."""

from __future__ import annotations

import torch
from rnn_export.capture.control_flow.constants import Constants
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.symbolic_shapes import ShapeEnv


def test_a_size_makes_a_constant_none() -> None:
    constants, env = Constants(), ShapeEnv()
    with FakeTensorMode(shape_env=env) as fake:
        stride = fake.from_tensor(torch.tensor(6))
        constants.add(stride, torch.tensor(6))
        length = env.create_unbacked_symint()
        with constants:
            known, unknown = stride + 1, stride + length
            further = unknown * 2
    assert constants.value(known) == 7
    assert constants.value(unknown) is None
    assert constants.value(further) is None
