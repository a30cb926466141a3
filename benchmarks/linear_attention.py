"""Linear attention and causal convolutions in each form, beside eager PyTorch and the stock exporter.

All forms of a row take turns in one process, on one thread, at one sequence. "stock" is `torch.onnx.export`, which
writes the steps of one length into the file, so that for most loops it is given one step alone.
"""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import onnxruntime as ort
import torch
from rnn_export import export_onnx
from torch import Tensor, nn
from torch.nn import functional

from .race import Effort
from .records import LoopTimes

LENGTHS = (256, 1)
LENGTHS_OF_PAIRS = (256, 1024)
HEADS, SIZE = 8, 64
CHANNELS, TAPS = 1024, 4
CONVOLUTION = "causal convolution"
FORMS: Mapping[str, Mapping[str, Any]] = {
    "contrib": {"lowering": "contrib"},
    "standard": {"lowering": "standard", "opset": 27},
    "scan": {"lowering": "scan"},
}
# Of the others a whole sequence takes the stock exporter minutes.
_STOCK_WHOLE = ("linear attention", "pairs, masked", "pairs, retention", CONVOLUTION)


class Attention(nn.Module):
    """S' = a S + k v, y = q S'; with `delta` a k S is taken from v first. q, k and v are given."""

    def __init__(self, *, decay: bool, delta: bool) -> None:
        super().__init__()
        self.decay, self.delta = decay, delta

    def forward(self, q: Tensor, k: Tensor, v: Tensor, gate: Tensor, rate: Tensor) -> Tensor:
        k = functional.normalize(k, dim=-1) if self.delta else k
        state = q.new_zeros(q.shape[0], HEADS, SIZE, SIZE)
        outputs = []
        for t in range(q.shape[1]):
            if self.decay:
                state = state * torch.sigmoid(gate[:, t])[..., None, None]
            new = v[:, t]
            if self.delta:
                new = torch.sigmoid(rate[:, t])[..., None] * (new - torch.einsum("nhi,nhij->nhj", k[:, t], state))
            state = state + k[:, t].unsqueeze(-1) * new.unsqueeze(-2)
            outputs.append(torch.einsum("nhi,nhij->nhj", q[:, t], state))
        return torch.stack(outputs, 1)


class Pairs(nn.Module):
    """The same over all pairs of steps, y = ((q k') * mask) v; with `decay` each head forgets at a rate of its own."""

    def __init__(self, *, decay: bool) -> None:
        super().__init__()
        self.decay = decay

    def forward(self, q: Tensor, k: Tensor, v: Tensor, gate: Tensor, rate: Tensor) -> Tensor:
        at = torch.arange(q.shape[1], dtype=torch.float32)
        apart = at[:, None] - at[None]
        mask = (apart >= 0).float()
        if self.decay:
            rates = 1 - 2.0 ** (-5 - torch.arange(HEADS, dtype=torch.float32))
            mask = mask * rates[:, None, None] ** apart.clamp(min=0)
        q, k, v = (each.transpose(1, 2) for each in (q, k, v))
        return ((q @ k.transpose(-1, -2) * mask) @ v).transpose(1, 2)


class Chunks(nn.Module):
    """The gated form chunk by chunk, with a matrix over the chunks for their states, as Mamba-2 has it."""

    chunk = 64

    def forward(self, q: Tensor, k: Tensor, v: Tensor, gate: Tensor, rate: Tensor) -> Tensor:
        steps = q.shape[1]
        rest = -steps % self.chunk
        wide = (functional.pad(each, (0, 0, 0, 0, 0, rest)).unflatten(1, (-1, self.chunk)) for each in (q, k, v))
        q, k, v = wide
        fade = functional.pad(functional.logsigmoid(gate), (0, 0, 0, rest)).unflatten(1, (-1, self.chunk))
        fade = fade.permute(0, 3, 1, 2)
        total = fade.cumsum(-1)
        inside = torch.einsum("nclhk,ncshk,nhcls,ncshv->nclhv", q, k, _between(fade).exp(), v)
        states = torch.einsum("nclhk,nhcl,nclhv->nchkv", k, (total[..., -1:] - total).exp(), v)
        states = torch.cat([torch.zeros_like(states[:, :1]), states], 1)
        carried = _between(functional.pad(total[..., -1], (1, 0))).exp()
        states = torch.einsum("nhzc,nchkv->nzhkv", carried, states)[:, :-1]
        across = torch.einsum("nclhk,nchkv,nhcl->nclhv", q, states, total.exp())
        return (inside + across).flatten(1, 2)[:, :steps]


def _between(x: Tensor) -> Tensor:
    """The sums of x between any two steps, the first left out; minus infinity for those to come."""
    total = x.cumsum(-1)
    apart = total[..., :, None] - total[..., None, :]
    return apart.masked_fill(torch.ones(apart.shape[-1], apart.shape[-1]).triu(1) == 1, -torch.inf)


class Convolution(nn.Module):
    """Each channel over its own last steps, then SiLU; with `past`, the steps before the chunk, it returns the next."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(CHANNELS, CHANNELS, TAPS, groups=CHANNELS)

    def forward(self, x: Tensor, past: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        window = functional.pad(x, (TAPS - 1, 0)) if past is None else torch.cat([past, x], -1)
        y = functional.silu(self.conv(window))
        return y if past is None else (y, window[..., 1 - TAPS :])


MODELS: Mapping[str, nn.Module] = {
    "linear attention": Attention(decay=False, delta=False),
    "gated": Attention(decay=True, delta=False),
    "delta": Attention(decay=False, delta=True),
    "gated delta": Attention(decay=True, delta=True),
    "pairs, masked": Pairs(decay=False),
    "pairs, retention": Pairs(decay=True),
    "chunks, gated": Chunks(),
    CONVOLUTION: Convolution(),
}
_WIDE, _NARROW = f"float32[N, T, {HEADS}, {SIZE}]", f"float32[N, T, {HEADS}]"
_OF_ATTENTION = {**dict.fromkeys("qkv", _WIDE), "gate": _NARROW, "rate": _NARROW}
_OF_CONVOLUTION = {"x": f"float32[N, {CHANNELS}, T]"}


def measure(effort: Effort) -> list[LoopTimes]:
    """Every loop at every length."""
    torch.set_num_threads(1)
    found = []
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        for name, model in MODELS.items():
            for steps in LENGTHS_OF_PAIRS if isinstance(model, Pairs | Chunks) else LENGTHS:
                seconds = _medians(_runs(name, model.eval(), steps, Path(folder)), effort)
                found.append(LoopTimes(name, steps, seconds))
    return found


def _runs(name: str, model: nn.Module, steps: int, folder: Path) -> dict[str, Callable[[], object]]:
    """A convolution's single step is one of a stream; a loop of one step begins anew."""
    is_step = name == CONVOLUTION and steps == 1
    given = _of_convolution(steps) if name == CONVOLUTION else _of_attention(steps)
    signature = _OF_CONVOLUTION if name == CONVOLUTION else _OF_ATTENTION
    runs: dict[str, Callable[[], object]] = {"eager": partial(model, *given.values())}
    if steps == 1 or name in _STOCK_WHOLE:
        runs["stock"] = _run(_stock(model, given, folder / f"{name}.{steps}.onnx"), given)
    for form, options in FORMS.items():
        out = folder / f"{name}.{form}{'.step' if is_step else ''}"
        if not out.exists():  # the file for one length is that for all
            with torch.inference_mode(False):
                export_onnx(model, signature, out, stateful=is_step, verify=False, **options)
        runs[form] = _run(_session(out / "model.onnx"), given)
    return runs


def _of_attention(steps: int) -> dict[str, Tensor]:
    torch.manual_seed(0)
    wide, narrow = (1, steps, HEADS, SIZE), (1, steps, HEADS)
    return {
        **{name: torch.randn(wide) / 8 for name in ("q", "k", "v")},
        **{name: torch.randn(narrow) for name in ("gate", "rate")},
    }


def _of_convolution(steps: int) -> dict[str, Tensor]:
    torch.manual_seed(0)
    past = {"past": torch.zeros(1, CHANNELS, TAPS - 1)} if steps == 1 else {}
    return {"x": torch.randn(1, CHANNELS, steps), **past}


def _session(file: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def _run(session: ort.InferenceSession, given: Mapping[str, Tensor]) -> Callable[[], object]:
    """A stream's file calls the state otherwise than the model does."""
    names = [value.name for value in session.get_inputs()]
    arrays = {name: given[name if name in given else "past"].numpy() for name in names}
    return partial(session.run, None, arrays)


def _stock(model: nn.Module, given: Mapping[str, Tensor], file: Path) -> ort.InferenceSession:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(model, tuple(given.values()), file, dynamo=True, verbose=False, input_names=list(given))
    return _session(file)


def _medians(runs: Mapping[str, Callable[[], object]], effort: Effort) -> dict[str, float]:
    """Seconds of one run of each, in turn."""
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()
    for _ in range(effort.rounds):
        for name, run in runs.items():
            begin, count = time.perf_counter(), 0
            while time.perf_counter() - begin < effort.seconds:
                run()
                count += 1
            taken[name].append((time.perf_counter() - begin) / count)
    return {name: median(each) for name, each in taken.items()}
