"""Time series: detectors that judge each step by a window of steps."""

from ._detector import WindowedDetector
from ._statistics import WindowStatistics
from ._stream import SeriesStream
from ._stretches import stretches

__all__ = ["SeriesStream", "WindowStatistics", "WindowedDetector", "stretches"]


def __dir__() -> list[str]:
    return sorted(__all__)
