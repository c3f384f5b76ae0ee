"""Score detectors with the anomaly as the positive class, for any label coding and library."""

from ._scorers import AnomalyScorer, anomaly_scorer, anomaly_scorers, evaluation_report
from ._series import SeriesScorer, series_scorer

__all__ = [
    "AnomalyScorer",
    "SeriesScorer",
    "anomaly_scorer",
    "anomaly_scorers",
    "evaluation_report",
    "series_scorer",
]


def __dir__() -> list[str]:
    return sorted(__all__)
