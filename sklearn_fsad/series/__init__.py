"""Time series: detectors that judge each step by a window of steps."""

from ._detector import WindowedDetector
from ._statistics import WindowStatistics
from ._stream import SeriesStream

__all__ = ["SeriesStream", "WindowStatistics", "WindowedDetector"]


def __dir__() -> list[str]:
    return sorted(__all__)
