"""medaka's networks, which read the bases that lie above each other in a pileup."""

from __future__ import annotations

import io
import tarfile
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from .model import PACKAGES, Answer, Forward, Trained

_POSITIONS = 400
_BASES = "ACGT"


def _weights(name: str) -> bytes:
    with tarfile.open(PACKAGES / "medaka" / "data" / f"{name}_model_pt.tar.gz") as archive:
        member = archive.extractfile("model/weights.pt")
        assert member is not None
        return member.read()


def _network(name: str, units: int) -> nn.Module:
    from medaka.architectures import GRUModel

    network = GRUModel(gru_size=units)
    network.load_state_dict(torch.load(io.BytesIO(_weights(name)), weights_only=True, map_location="cpu"))
    return network.eval()


def _export(name: str, units: int, folder: Path) -> list[str]:
    (folder / "weights.pt").write_bytes(_weights(name))
    return [
        *("medaka.architectures:GRUModel", "--set", f"gru_size={units}", "--weights", str(folder / "weights.pt")),
        *("--input", "x: float32[N, T, 10] in 0..1"),
    ]


def _pileup() -> tuple[np.ndarray, np.ndarray]:
    """Counts of each base on both strands [positions, 10], of thirty reads of a random genome with errors; and places.

    In each half stand the four bases and gaps, as shares of the depth.
    """
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, _POSITIONS)
    counts = np.zeros((_POSITIONS, 10), np.float32)
    for read in range(30):
        seen = np.where(rng.random(_POSITIONS) < 0.06, rng.integers(0, 5, _POSITIONS), truth)
        counts[np.arange(_POSITIONS), 5 * (read % 2) + seen] += 1
    places = np.zeros(_POSITIONS, dtype=[("major", int), ("minor", int)])
    places["major"] = np.arange(_POSITIONS)
    return counts / 30, places


def _call(name: str, units: int, forward: Forward | None) -> Answer:
    from medaka.common import Sample
    from medaka.labels import HaploidLabelScheme
    from medaka.torch_ext import Batch

    network = _network(name, units)
    network.forward = forward or network.forward
    counts, places = _pileup()
    sample = Sample(
        ref_name="made", features=counts, labels=None, ref_seq=None, positions=places, label_probs=None, depth=None
    )
    probabilities = network.predict_on_batch(Batch.collate([sample])).numpy()
    called = sample.amend(label_probs=probabilities[0])
    sequence, qualities = HaploidLabelScheme().decode_consensus(called, with_qualities=True)
    return {"sequence": sequence, "qualities": len(qualities), "probabilities": probabilities}


def _model(key: str, name: str, units: int) -> Trained:
    return Trained(
        key,
        f"two BiGRU layers of {units} units",
        f"a pileup of {_POSITIONS} positions",
        partial(_export, name, units),
        partial(_network, name, units),
        partial(_call, name, units),
    )


MODELS = (
    _model("medaka hac", "r1041_e82_400bps_hac_v6.0.0", 256),
    _model("medaka sup", "r1041_e82_400bps_sup_v5.2.0", 128),
)
