"""Themes: the colours that the screen may have, by name.

In: nothing. Out: Textual themes; the app registers them, a key takes the next. Pure. No colour stands alone
on any screen, so each may be chosen for taste. Every text role is set, so that no theme leaves a
contrast to chance: at least 4.5 to 1 on every ground, which is level AA of WCAG 2.1.
"""

from __future__ import annotations

from textual.theme import Theme

DEFAULT = "parallax"


def _theme(
    name: str,
    *,
    grounds: tuple[str, str, str, str],
    plain: tuple[str, str],
    signals: tuple[str, str, str],
    others: tuple[str, str, str],
    texts: tuple[str, str, str] | None = None,
    dark: bool = True,
) -> Theme:
    """One theme.

    `grounds`: the screen, dialogs, the footer, the row under the cursor. `plain`: text, muted text.
    `signals`: good, fair, bad. `others`: primary (and replays), secondary (and simulations), accent (and
    headings). `texts`: the signals as letters, where they must be lighter than as grounds.
    """
    background, surface, panel, cursor = grounds
    good, fair, bad = texts or signals
    primary, secondary, accent = others
    return Theme(
        name=name,
        background=background,
        surface=surface,
        panel=panel,
        foreground=plain[0],
        success=signals[0],
        warning=signals[1],
        error=signals[2],
        primary=primary,
        secondary=secondary,
        accent=accent,
        dark=dark,
        variables={
            "text-success": good,
            "text-warning": fair,
            "text-error": bad,
            "text-primary": primary,
            "text-secondary": secondary,
            "text-accent": accent,
            "text-muted": plain[1],
            "panel-lighten-2": cursor,
            "border": cursor,
            "footer-key-foreground": accent,
            "block-cursor-foreground": background,
            "block-cursor-background": primary,
        },
    )


_MADE = (
    _theme(
        DEFAULT,
        grounds=("#121212", "#1b1b1b", "#22272b", "#30373c"),
        plain=("#e0e0e0", "#a9b1b7"),
        signals=("#5fd787", "#ffd75f", "#ff7b72"),
        others=("#6cb6ff", "#c9a7ff", "#ffb454"),
    ),
    # Blue, yellow and vermillion of Okabe and Ito's palette. As letters yellow is paler and vermillion
    # lighter: else deuteranopes would hardly tell them apart, and nobody could read the second on a cursor.
    _theme(
        "colour-blind",
        grounds=("#121212", "#181818", "#1e1e1e", "#282828"),
        plain=("#d4d4d4", "#a6a6a6"),
        signals=("#56b4e9", "#f0e442", "#d55e00"),
        texts=("#56b4e9", "#fff5a4", "#eb6a0a"),
        others=("#8cb8d8", "#cc9fc0", "#c9b458"),
    ),
    _theme(
        "light",
        grounds=("#fafafa", "#f0f0f0", "#e4e7ea", "#ccd4da"),
        plain=("#1c1c1c", "#4b5560"),
        signals=("#0b5c26", "#6b4800", "#a5101a"),
        others=("#0b4f96", "#6a2f8f", "#4a3aa0"),
        dark=False,
    ),
    _theme(
        "high-contrast",
        grounds=("#000000", "#000000", "#141414", "#2c2c2c"),
        plain=("#ffffff", "#d8d8d8"),
        signals=("#00ff7f", "#ffff00", "#ffa0a0"),
        others=("#8cd8ff", "#e6bcff", "#ffc870"),
    ),
    _theme(
        "mono",
        grounds=("#101010", "#181818", "#202020", "#383838"),
        plain=("#e6e6e6", "#a8a8a8"),
        signals=("#ffffff", "#c8c8c8", "#ffffff"),
        others=("#d8d8d8", "#bcbcbc", "#f0f0f0"),
    ),
)
THEMES: dict[str, Theme] = {theme.name: theme for theme in _MADE}


def next_theme(name: str) -> str:
    """The name of the theme after `name`; the first one after the last, and after a stranger."""
    names = list(THEMES)
    at = names.index(name) if name in THEMES else -1
    return names[(at + 1) % len(names)]
