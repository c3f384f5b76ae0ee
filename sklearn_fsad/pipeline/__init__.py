"""Pipelines: tables of text and dates before any detector, and steps learned on past tasks."""

from ._meta_fit import meta_fit_pipeline
from ._tables import make_table_pipeline

__all__ = ["make_table_pipeline", "meta_fit_pipeline"]


def __dir__() -> list[str]:
    return sorted(__all__)
