"""Themes: readable on every ground, and the colour-blind one for whom it is made."""

from itertools import combinations
from typing import get_args

import pytest
from textual.color import Color

from dashboard.themes import DEFAULT, THEMES, next_theme
from pipeline.config import DashboardConfig
from pipeline.config_schema import models

TEXTS = [f"text-{role}" for role in "success warning error primary secondary accent muted".split()]
GROUNDS = ["background", "surface", "panel", "panel-lighten-2"]
BADGES = ["primary", "secondary", "success", "error"]
Rows = tuple[tuple[float, float, float], ...]
# How a colour looks to those who lack a kind of cone, on linear RGB: Machado, Oliveira and Fernandes 2009,
# "A Physiologically-based Model for Simulation of Color Vision Deficiency", severity 1.0.
SIGHTS: dict[str, Rows] = {
    "normal": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "protanopia": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
}
# CIE76 distance from which two colours are easily told apart.
FAR = 40


def variables(name: str) -> dict[str, str]:
    """What the style sheet gets from a theme, as Textual's App puts it together."""
    theme = THEMES[name]
    return {**theme.to_color_system().generate(), **theme.variables}


def linear(colour: str) -> list[float]:
    """Linear RGB of a colour, IEC 61966-2-1."""
    return [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in Color.parse(colour).normalized
    ]


def contrast(one: str, other: str) -> float:
    """WCAG 2.1's contrast ratio."""
    light = sorted(0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in (linear(one), linear(other)))
    return (light[1] + 0.05) / (light[0] + 0.05)


def lab(colour: str, sight: Rows) -> tuple[float, float, float]:
    """CIE L*a*b* (D65) of a colour as it is seen."""
    red, green, blue = (
        min(1.0, max(0.0, sum(a * b for a, b in zip(row, linear(colour), strict=True)))) for row in sight
    )
    x = (0.4124564 * red + 0.3575761 * green + 0.1804375 * blue) / 0.95047
    y = 0.2126729 * red + 0.7151522 * green + 0.0721750 * blue
    z = (0.0193339 * red + 0.1191920 * green + 0.9503041 * blue) / 1.08883
    fx, fy, fz = (t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116 for t in (x, y, z))
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


def distance(one: str, other: str, sight: str) -> float:
    """How far apart two colours look, CIE76."""
    pair = zip(lab(one, SIGHTS[sight]), lab(other, SIGHTS[sight]), strict=True)
    return sum((a - b) ** 2 for a, b in pair) ** 0.5


@pytest.mark.parametrize("name", THEMES)
def test_every_role_is_readable_on_every_ground(name: str) -> None:
    """Text has a contrast of at least 4.5, in the high-contrast theme 7; so have the words on badges."""
    found, least = variables(name), 7.0 if name == "high-contrast" else 4.5
    for text in ["foreground", *TEXTS]:
        for ground in GROUNDS:
            assert contrast(found[text], found[ground]) >= least, (text, ground)
    for badge in BADGES:
        assert contrast(found["background"], found[badge]) >= 4.5, badge
    assert contrast(found["footer-key-foreground"], found["footer-background"]) >= 4.5
    assert contrast(found["block-cursor-foreground"], found["block-cursor-background"]) >= 4.5


@pytest.mark.parametrize("sight", SIGHTS)
def test_the_colour_blind_theme_is_told_apart_by_all(sight: str) -> None:
    """Good, fair and bad are far apart for deuteranopes and protanopes too; the default's are not."""
    found = variables("colour-blind")
    for one, other in combinations(("text-success", "text-warning", "text-error"), 2):
        assert distance(found[one], found[other], sight) > FAR, (one, other)
    assert distance(found["success"], found["error"], sight) > FAR
    assert distance(found["success"], found["warning"], sight) > FAR
    found = variables(DEFAULT)
    near = distance(found["text-success"], found["text-warning"], sight) < FAR
    assert near == (sight != "normal"), "if the default theme does it too, one is enough"


def test_the_default_theme_has_the_seed_s_colours() -> None:
    """Good is green, fair yellow, bad red, whatever their shades."""
    good, fair, bad = (Color.parse(variables(DEFAULT)[f"text-{r}"]) for r in ("success", "warning", "error"))
    assert good.g == max(good.rgb) and good.hsl.h == pytest.approx(1 / 3, abs=0.1)
    assert fair.hsl.h == pytest.approx(1 / 6, abs=0.05)
    assert bad.hsl.h == pytest.approx(0, abs=0.03)


def test_mono_has_no_hue() -> None:
    """Every colour of the mono theme is a grey."""
    found = variables("mono")
    for name in ["foreground", *TEXTS, *GROUNDS, *BADGES, "warning", "border", "footer-key-foreground"]:
        red, green, blue = Color.parse(found[name]).rgb
        assert red == green == blue, name


def test_a_key_goes_round_all_themes() -> None:
    """From any theme the next ones come round to it, and a stranger leads to the first."""
    seen = [DEFAULT]
    while (name := next_theme(seen[-1])) != DEFAULT:
        seen.append(name)
    assert seen == list(THEMES)
    assert next_theme("nord") == DEFAULT


def test_the_configuration_names_them_all() -> None:
    """`[dashboard] theme` takes exactly the themes there are, and its default is the default."""
    assert get_args(models.Dashboard.model_fields["theme"].annotation) == tuple(THEMES)
    assert DashboardConfig().theme == DEFAULT
