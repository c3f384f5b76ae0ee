"""Score detectors with the anomaly as the positive class, for any label coding and library."""

from ._scorers import AnomalyScorer, anomaly_scorer, anomaly_scorers, evaluation_report

__all__ = ["AnomalyScorer", "anomaly_scorer", "anomaly_scorers", "evaluation_report"]


def __dir__() -> list[str]:
    return sorted(__all__)
