"""The logo and the picture of the first page are what their scripts draw."""

import re
import sys

import matplotlib
import numpy as np
import pytest
from written_pages import ROOT


@pytest.fixture
def drawn(monkeypatch):
    """The folder of the scripts can be imported from; nothing is shown."""
    matplotlib.use("agg")
    monkeypatch.syspath_prepend(ROOT / "docs")
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "pictures"]:
        del sys.modules[name]


@pytest.mark.usefixtures("drawn")
def test_the_logos_are_those_that_the_script_draws(tmp_path):
    from pictures.logo import draw_logos

    draw_logos(tmp_path)
    names = [path.name for path in sorted(tmp_path.iterdir())]
    assert names == ["favicon.svg", "logo.svg", "logo_dark.svg"]
    for name in names:
        drawn, kept = (
            re.findall(r"-?\d+\.?\d*", (folder / name).read_text())
            for folder in (tmp_path, ROOT / "docs" / "_static")
        )
        # other versions of matplotlib may set letters a little closer
        np.testing.assert_allclose(np.float64(drawn), np.float64(kept), atol=1)


@pytest.mark.usefixtures("drawn")
def test_the_first_picture_shows_what_its_caption_says(tmp_path, monkeypatch):
    from pictures import hero

    readings, detector = hero._new_pump()
    support, fault = readings[: hero.N_SUPPORT], readings[hero.FAULT]
    in_range = (fault >= support.min(axis=0)) & (fault <= support.max(axis=0))
    flagged = detector.predict(readings) == -1
    false_alarms = flagged[hero.N_SUPPORT :].sum() - flagged[hero.FAULT].sum()
    assert in_range.all(axis=1).sum() == 17
    assert flagged[hero.FAULT].sum() == len(fault) == 25
    assert len(readings) - hero.N_SUPPORT - len(fault) == 87
    assert abs(false_alarms - 4) <= 1  # a row or two lie close to the threshold

    monkeypatch.setattr(hero, "_new_pump", lambda: (readings, detector))
    hero.draw_heroes(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hero.png", "hero_dark.png"]
