"""The colours of the report can be read in both modes: WCAG AA asks for 4.5 to 1 of text, 3 to 1 of pictures."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest
from rnn_export.publish.plots import EAGER, RUNTIME

TEMPLATE = files("rnn_export.publish").joinpath("report.html.jinja").read_text()
LIGHT, DARK = (
    dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", each)) for each in re.findall(r":root \{(.*?)\}", TEMPLATE)
)
TEXT = [
    *((colour, "paper") for colour in ("ink", "soft", "good", "bad", "known", "product")),
    *((colour, "panel") for colour in ("ink", "soft")),
    *(("on-badge", back) for back in ("good", "bad", "known")),
    ("paper", "ink"),
]


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_the_formula() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("mode", [LIGHT, DARK], ids=["light", "dark"])
def test_text_can_be_read(mode: dict[str, str]) -> None:
    assert mode.keys() == LIGHT.keys()
    low = {pair: contrast(mode[pair[0]], mode[pair[1]]) for pair in TEXT}
    assert {pair: ratio for pair, ratio in low.items() if ratio < 4.5} == {}


@pytest.mark.parametrize("mode", [LIGHT, DARK], ids=["light", "dark"])
def test_pictures_can_be_seen(mode: dict[str, str]) -> None:
    drawn = [mode["loop"], mode["product"], RUNTIME, EAGER]
    assert [colour for colour in drawn if contrast(colour, mode["paper"]) < 3] == []


def test_badges_take_these_colours() -> None:
    assert ".badge { " in TEMPLATE
    assert re.search(r"\.badge \{[^}]*color: var\(--on-badge\); background: var\(--known\)", TEMPLATE)
