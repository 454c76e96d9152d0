"""Without colours: whatever a role says, a word or a sign says too, and no line crashes Textual's filter."""

from datetime import UTC

import pytest
from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.filter import Monochrome
from textual.strip import Strip

from dashboard import formatting as fm
from dashboard.charts import histogram, waterfall
from dashboard.plots import chart
from dashboard.signs import AsciiFilter, ascii_text
from tests.support.lines import plain, untold

GAIN, LOSS = 4_000_000, -4_000_000


def test_a_gain_and_a_loss_differ_as_plain_text() -> None:
    """Charts of a gain and of the same loss differ without their colours, and in ASCII too."""
    pictures = [
        [
            plain(waterfall([("gross", 1_000_000, True), ("net", net, True)], 50)),
            plain(chart([(0, 0), (10**12, net)], 50, 7, zone=UTC)),
            fm.usd_text(net, sign=True),
            fm.axis_usd_text(net),
        ]
        for net in (GAIN, LOSS)
    ]
    for up, down in zip(*pictures, strict=True):
        assert up != down
        assert ascii_text(up.replace("\n", "@")) != ascii_text(down.replace("\n", "@"))


@pytest.mark.parametrize("net", [GAIN, LOSS, 0])
def test_no_line_of_a_chart_rests_on_colour(net: int) -> None:
    """Every coloured line of ours has a word or a sign."""
    lines = waterfall([("gross", 1_000_000, True), ("net", net, True)], 50)
    lines += histogram([10, 50, 60, 60], 40, 5, mark=50)
    lines += chart([(0, 0), (10**12, net)], 50, 7, zone=UTC)[-1:]
    assert untold(lines) == []
    assert untold([[("42", "bad")]]) == [[("42", "bad")]]


def test_exposure_is_a_word_before_it_is_a_colour() -> None:
    """Each colour of exposure has a word of its own."""
    found = [fm.exposure_word(usd * 10**6) for usd in (5, 30, 80)]
    assert len({word for word, _ in found}) == len({role for _, role in found}) == 3


def test_lines_with_a_style_pass_the_filters() -> None:
    """A line whose padding has a style passes NO_COLOR's filter after ours, and keeps its cells; one without
    a style is the crash that `Canvas.strip_of` avoids.
    """
    base, ground = Style.parse("white on black"), Color(0, 0, 0)
    strip = Strip([Segment("● 漢字", Style.parse("bold green"))]).adjust_cell_length(12, base)
    shown = strip.apply_filter(AsciiFilter(), ground).apply_filter(Monochrome(), ground)
    assert shown.text == "* ????      "
    assert shown.cell_length == 12
    with pytest.raises(AttributeError):
        Strip([Segment("x")]).adjust_cell_length(12).apply_filter(Monochrome(), ground)
