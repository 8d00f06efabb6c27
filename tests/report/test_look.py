from itertools import combinations

import numpy as np
import pytest

from mrl.report.css import THEME, sheet, themed
from mrl.report.look import BASELINE, COLOURS, PAPER

# Machado, Oliveira and Fernandes 2009, severity 1: linear RGB as people of each colour vision see it
VISION = {
    "full": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
LIGHT = (*COLOURS, BASELINE)
DARK = tuple(dark for value, _, _, dark in THEME if value in LIGHT)
CARD = {LIGHT: "#ffffff", DARK: next(dark for value, _, _, dark in THEME if value == PAPER)}
palettes = pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])


def _linear(colour):
    channels = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def _oklab(linear):
    """OKLab, in which equal distances look equally large."""
    cones = [[0.412221, 0.536333, 0.051446], [0.211903, 0.680700, 0.107397], [0.088302, 0.281719, 0.629979]]
    mix = [[0.210454, 0.793618, -0.004072], [1.977998, -2.428592, 0.450594], [0.025904, 0.782772, -0.808676]]
    return np.array(mix) @ np.cbrt(np.clip(np.array(cones) @ linear, 0, 1))


def _contrast(one, other):
    """WCAG's contrast ratio."""
    dark, light = sorted(_linear(colour) @ [0.2126, 0.7152, 0.0722] for colour in (one, other))
    return (light + 0.05) / (dark + 0.05)


@palettes
@pytest.mark.parametrize("vision", VISION)
def test_series_stay_apart_for_every_colour_vision(palette, vision):
    seen = [_oklab(np.clip(np.array(VISION[vision]) @ _linear(colour), 0, 1)) for colour in palette]
    assert len(seen) == 7
    assert min(np.linalg.norm(a - b) for a, b in combinations(seen, 2)) > 0.069


@palettes
def test_the_first_three_series_and_the_baseline_stand_out_from_the_card(palette):
    assert min(_contrast(colour, CARD[palette]) for colour in (*palette[:3], palette[-1])) >= 3


def test_text_is_readable_in_both_themes():
    ink, faint, _, card = THEME[:4]
    for theme in (2, 3):
        assert _contrast(ink[theme], card[theme]) > 7
        assert _contrast(faint[theme], card[theme]) > 4.5


def test_every_colour_of_a_figure_becomes_a_variable_that_the_sheet_sets():
    for value, name, light, dark in THEME:
        assert themed(f"fill: {value}") == f"fill: var({name},{value})"
        assert f"{name}:{light};" in sheet()
        assert f"{name}:{dark};" in sheet()
