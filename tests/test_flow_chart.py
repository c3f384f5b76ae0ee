"""The chart of the page that says which detector to take."""

import importlib.util
import re

from written_pages import PAGES, ROOT

import sklearn_fsad


def flow_chart():
    spec = importlib.util.spec_from_file_location("flow", ROOT / "docs" / "make_flow_chart.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.chart()


def test_the_chart_of_the_page_is_the_one_that_its_script_draws():
    kept = ROOT / "docs" / "_static" / "flow_chart.svg"
    assert kept.read_text(encoding="utf-8") == flow_chart()
    assert "_static/flow_chart.svg" in PAGES["docs/choosing.md"]


def test_the_chart_leads_to_each_detector_by_its_page():
    linked = dict(
        re.findall(r'href="generated/sklearn_fsad\.(\w+)\.html"><text[^>]*>(\w+)<', flow_chart())
    )
    assert linked == {name: name for name in linked}
    assert set(linked) == {name for name in sklearn_fsad.__all__ if name.endswith("Detector")} - {
        "DistilledDetector",
        "PyODDetector",
        "WindowedDetector",
    }
