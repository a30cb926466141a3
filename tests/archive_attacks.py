"""Models whose TorchScript does more than compute: each writes a file, seeds a generator or begins to profile."""

from __future__ import annotations

from pathlib import Path

import torch
from rnn_export.pytorch.run import suppress_output
from torch import Tensor, nn


def save_scripted(model: nn.Module, path: Path) -> None:
    with suppress_output():
        torch.jit.save(torch.jit.script(model.eval()), path)


def write_to(path: str, x: Tensor) -> Tensor:
    written = torch.from_file(path, True, 4, dtype=torch.float32)
    written.copy_(torch.ones(4))
    return x + written.sum()


class InForward(nn.Module):
    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def forward(self, x: Tensor) -> Tensor:
        written = torch.from_file(self.path, True, 4, dtype=torch.float32)
        written.copy_(torch.ones(4))
        return x + written.sum()


class InABranch(InForward):
    def forward(self, x: Tensor) -> Tensor:
        for k in range(x.shape[0]):
            if k > 1_000:
                x = torch.from_file(self.path, False, 4)
        return x


class InAFunction(InForward):
    def forward(self, x: Tensor) -> Tensor:
        return write_to(self.path, x)


class InAFork(InForward):
    def forward(self, x: Tensor) -> Tensor:
        return torch.jit.wait(torch.jit.fork(write_to, self.path, x))


class InASubmodule(nn.Module):
    def __init__(self, path: str) -> None:
        super().__init__()
        self.inner = InForward(path)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


class InAnotherMethod(InForward):
    def forward(self, x: Tensor) -> Tensor:
        return x

    @torch.jit.export
    def extra(self, x: Tensor) -> Tensor:
        return write_to(self.path, x)


class WhenLoaded(InForward):
    def forward(self, x: Tensor) -> Tensor:
        return x

    @torch.jit.export
    def __getstate__(self) -> tuple[str, bool]:
        return self.path, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[str, bool]) -> None:
        self.path = state[0]
        self.training = state[1]
        torch.from_file(self.path, True, 4).copy_(torch.ones(4))


class Seeding(InForward):
    def forward(self, x: Tensor) -> Tensor:
        torch.manual_seed(3)
        return x


class Profiling(InForward):
    def forward(self, x: Tensor) -> Tensor:
        torch.ops.profiler._record_function_enter(self.path, None)
        return x


ATTACKS = [InForward, InABranch, InAFunction, InAFork, InASubmodule, InAnotherMethod, WhenLoaded, Seeding, Profiling]
