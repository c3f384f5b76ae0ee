"""Read the rows to distil on, and say why a copy is refused."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._input.codings import Coding
from .._input.labels import ANOMALOUS, UNLABELLED, encode_labels
from .._input.rows import refuse_huge, validated_rows
from .._warn import warn
from ._agreement import Agreement
from ._learning import GivenRows
from ._rows import KnownRows
from ._teacher import Teacher

_LEAST_GIVEN = 20
_MOST_COLUMNS = 300


def given_rows(probe: Any, X: Any, y: Any, coding: Coding | None, seed: int) -> GivenRows:
    """Validate rows to distil on, and leave out some; with labels those without one are dropped."""
    rows = validated_rows(probe, X, dtype=np.float64, order="C")
    refuse_huge(rows)
    is_anomaly = None
    if y is not None:
        codes = encode_labels(y, len(rows), require_normal=False, known=coding)
        known = codes != UNLABELLED
        rows, is_anomaly = rows[known], codes[known] == ANOMALOUS
    n_different = len(np.unique(rows, axis=0))
    if n_different < _LEAST_GIVEN:
        alike = "" if n_different == len(rows) else f", {n_different} of them different"
        raise ValueError(
            f"X has {len(rows)} {'' if y is None else 'labelled '}rows{alike}, and a quarter of "
            f"them is left out to measure the agreement: give at least {_LEAST_GIVEN} different "
            "ones, or none."
        )
    return GivenRows.split(rows, is_anomaly, np.random.default_rng(seed))


def known_rows(teacher: Teacher, given: GivenRows | None) -> KnownRows:
    """Return the rows to make others from: the training rows, or else those given to train on."""
    if teacher.has_known_rows:
        return teacher.known_rows()
    if given is None:
        raise ValueError(
            f"{type(teacher.detector).__name__} does not tell its training rows: give rows such "
            "as those to be scored, distil(detector, X)."
        )
    X, flags = given.train, teacher.flags(given.train)
    return KnownRows(X[~flags] if (~flags).sum() > 1 else X, X[flags])


def take_columns(estimator: Any, other: Any) -> None:
    """Remember the columns that another estimator remembers, and no others."""
    for name in ("n_features_in_", "feature_names_in_", "_columns_in_"):
        if hasattr(other, name):
            setattr(estimator, name, getattr(other, name))
        elif hasattr(estimator, name):
            delattr(estimator, name)


def warn_if_wide(agreement: Agreement, n_columns: int) -> None:
    """Warn that made rows of many columns tell little about real ones."""
    if agreement.rows == "made" and n_columns > _MOST_COLUMNS:
        warn(
            f"The agreement was measured on made rows, which tell little about real ones of "
            f"{n_columns} columns: give later rows, distil(detector, X)."
        )


def refusal(detector: Any, agreement: Agreement, least: float) -> str:
    """Say why a copy is not returned, and what to do."""
    made = agreement.rows == "made"
    rows = f"{agreement.n_rows} {'made' if made else 'given'} rows left out"
    help_ = "Give later rows as X, " if made else "Give more rows, "
    return (
        f"The copy of {type(detector).__name__} agrees too little with it: rank correlation "
        f"{agreement.rank_correlation:.3f} on {rows}, and min_agreement={least:g}. {help_}"
        "a larger network as hidden, or more n_rows; or lower min_agreement if that is good enough."
    )
