"""With the exported file in place of its network, a package answers a real input as it does with its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from .measure import differences, measure
from .model import Trained
from .zoo import MODELS


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.key)
def test_a_package_answers_the_same_with_the_file(model: Trained, tmp_path: Path) -> None:
    measured = measure(model, tmp_path)
    own, with_file = measured.answers
    assert all(len(value) for value in own.values() if not isinstance(value, int))
    assert list(differences(own, with_file)) == []
    assert measured.reference == "float64"
    assert measured.share <= 1
    # No further from float64 than a few times as far as PyTorch itself, on what the package really asks.
    assert measured.of_file <= 4 * max(measured.of_pytorch, 1e-6 * measured.scale)
