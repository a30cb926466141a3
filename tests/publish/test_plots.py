"""The plots of a report."""

from __future__ import annotations

import re

import numpy as np
from rnn_export.publish.measure import Grid
from rnn_export.publish.plots import draw_grid


def test_a_refused_size_and_one_beyond_its_limit() -> None:
    svg = draw_grid(Grid("T", "N", (1, 2, 3), (1,), np.array([[np.nan], [np.inf], [790.4]])))
    assert "refused" in svg
    assert "FAIL" in svg
    assert "790 times" in svg
    assert "currentColor" in svg


def test_text_can_be_read_on_every_colour() -> None:
    """Black on the light end of the scale, white on the dark one."""
    svg = draw_grid(Grid("T", "N", (1, 2), (1,), np.array([[0.0], [1.0]])))
    styles = dict(re.findall(r'<text style="([^"]*)"[^>]*>(\d+%)</text>', svg.replace("\n", "")))
    colours = {text: "#ffffff" in style for style, text in styles.items()}
    assert colours == {"0%": True, "100%": False}
