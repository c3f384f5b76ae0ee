"""Report the most anomalous rows with reasons, and say what a detector is."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._explain.report import (
    as_frame,
    check_frames,
    check_top,
    columns_to_blame,
    most_anomalous,
)
from ..._explain.summary import Summary
from ..._input.columns import known_columns
from ..._input.containers import take_rows, unwrapped
from ..._input.frames import column_names
from ..._input.labels import ANOMALOUS, NORMAL, UNLABELLED
from ..._state import MetaState, is_shipped, resolve_state
from ..._typing import Array
from .explanations import Explanations
from .support_lookup import occur_in, row_keys


class Reports(Explanations):
    """List the most anomalous rows with reasons, and summarise the detector."""

    def report(self, X: Any, top: int | None = 10) -> Any:
        """List the most anomalous rows, most anomalous first, with the two columns to blame.

        All rows are scored; only the rows in the report are explained, by :meth:`feature_scores`.
        That takes time in proportion to ``top`` times the number of columns: with many columns ask
        for few rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        top : int or None, default=10
            Number of rows to list; None lists all.

        Returns
        -------
        report : DataFrame of pandas, or of polars where ``X`` is a frame of polars
            One row for each row listed. If ``X`` is a pandas frame, its index is kept. Columns:

            - ``row``: position in ``X``, from 0;
            - ``anomaly_score``: ``-decision_function(X)``, larger = more anomalous;
            - ``flagged``: whether ``predict`` calls it an anomaly: a score above 0;
            - ``p_value``: as of :meth:`p_values`, small = anomalous;
            - ``probability``: of being an anomaly, as of :meth:`predict_proba`; without
              ``meta_fit`` it is less well calibrated;
            - ``training_row``: whether it equals a training row; a normal one then has its
              leave-one-out score, see :meth:`score_samples`;
            - ``column_1``, ``value_1``: the column that adds most to the score, ``x0``, ``x1``, ...
              where columns have no names, and its value;
            - ``usual_low_1``, ``usual_high_1``: 5th and 95th percentile of that column in the
              normal training rows;
            - the same four ending in ``_2`` for the next column, where there is one.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        ValueError
            If ``top`` is not a positive integer or None.
        ImportError
            If pandas is not installed and ``X`` is no frame of polars.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_fsad import ProtoNetDetector
        >>> X = np.random.default_rng(0).normal(size=(40, 4))
        >>> detector = ProtoNetDetector().fit(X)
        >>> found = detector.report([[0.0, 0.0, 6.0, 0.0], [0.1, 0.0, 0.0, 0.0]], top=1)
        >>> found[["row", "flagged", "column_1", "value_1"]].to_dict("records")
        [{'row': 0, 'flagged': True, 'column_1': 'x2', 'value_1': 6.0}]
        """
        self._check_fitted()
        top = check_top(top)
        check_frames(X)
        X = unwrapped(X)
        positions, columns = self._ranked(X, top)
        rows = take_rows(X, positions)
        values, normals = self._validated(rows, reset=False), self._reference_normals()
        values, categorical = self._categories.shown(rows, values), self._categories.positions
        names, blame = self._names_of_columns(X), self.feature_scores(rows)
        columns |= columns_to_blame(blame, names, values, normals, categorical)
        return as_frame(X, positions, columns)

    def summary(self) -> Summary:
        """Say what the detector is, what it was fitted to, what it learned and how it decides.

        It works before ``fit`` too, and changes nothing.

        Returns
        -------
        summary : Summary
            ``print`` shows it as text; its fields hold the same facts.

        Raises
        ------
        WeightsError
            If ``pretrained`` names a file that cannot be read.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_fsad import ProtoNetDetector
        >>> X = np.random.default_rng(0).normal(size=(40, 4))
        >>> summary = ProtoNetDetector().fit(X).summary()
        >>> summary.n_normal, summary.n_tasks, summary.false_alarm_rate
        (40, 0, 0.05)
        """
        fitted = self.__sklearn_is_fitted__()
        state = self.state_ if fitted else resolve_state(self.pretrained)
        n_tasks = 0 if state is None else int(state.info.get("n_tasks", 0))
        place = self._place_among_tasks() if fitted else None
        return Summary(
            detector=type(self).__name__,
            description=(inspect.getdoc(type(self)) or "").split("\n")[0],
            **self._about_support(fitted),
            n_tasks=n_tasks,
            learned_from=self._origin_in_words(state, n_tasks),
            held_out=() if state is None else tuple(state.info.get("held_out", ())),
            **self._about_threshold(fitted),
            task_distance=None if place is None else place.distance,
            task_percentile=None if place is None else place.percentile,
            is_far=place is not None and place.is_far,
            advice=_next_steps(
                self.support_X_ if fitted else None, n_tasks, place is not None and place.is_far
            ),
        )

    # --- private ----------------------------------------------------------------------------------
    def _ranked(self, X: Any, top: int | None) -> tuple[NDArray[np.intp], dict[str, Any]]:
        """Return the positions of the rows to report, and what is known of them but reasons."""
        scores = self.offset_ - self.score_samples(X)
        positions = most_anomalous(scores, top)
        rows = take_rows(X, positions)
        return positions, {
            "row": positions,
            "anomaly_score": scores[positions],
            "flagged": scores[positions] > 0,
            "p_value": self.p_values(rows),
            "probability": self.predict_proba(rows)[:, self._anomaly_column()],
            "training_row": occur_in(self._validated(rows, reset=False), self.support_X_),
        }

    def _names_of_columns(self, X: Any = None) -> list[Any]:
        """List the names of columns that are known from ``fit``, or of ``X``, or x0, x1, ..."""
        known = known_columns(self)
        known = column_names(X) if known is None else known
        return [f"x{j}" for j in range(self.n_features_in_)] if known is None else list(known)

    def _about_support(self, fitted: bool) -> dict[str, Any]:
        kinds = {"n_normal": NORMAL, "n_anomalous": ANOMALOUS, "n_unlabelled": UNLABELLED}
        if not fitted:
            return dict.fromkeys([*kinds, "columns"])
        counts = {name: int((self.support_y_ == code).sum()) for name, code in kinds.items()}
        return {**counts, "columns": tuple(self._names_of_columns())}

    def _origin_in_words(self, state: MetaState | None, n_tasks: int) -> str:
        if state is None or not n_tasks:
            return "no past tasks"
        given = self._in_force("pretrained")
        if is_shipped(given):
            return f"{n_tasks} tasks, by the weights {given!r} that come with the package"
        told, info = f"{n_tasks} tasks by meta_fit", state.info
        if "n_normal" in info and "n_anomalous" in info:
            (least, most), (fewest, many) = info["n_normal"], info["n_anomalous"]
            told += f", supports of {least} to {most} normal and {fewest} to {many} anomalous rows"
        return told + (f", starting from {info['start']!r}" if info.get("start") else "")

    def _about_threshold(self, fitted: bool) -> dict[str, Any]:
        names = ("threshold", "threshold_aim", "false_alarm_rate", "left_out_alarm_rate")
        if not fitted:
            return dict.fromkeys(names)
        normals, _ = self._adaptation.left_out_by_label()
        aim, rate = self._threshold_in_words(len(normals))
        flagged = float((self.offset_ + normals > 0).mean())
        return dict(zip(names, (float(self.offset_), aim, rate, flagged), strict=True))

    def _threshold_in_words(self, n: int) -> tuple[str, float | None]:
        """Tell how the threshold was chosen, and the rate of false alarms that it aims at."""
        if self._threshold_by is not None:
            return self._threshold_by, None
        threshold, alpha = self._in_force("threshold"), float(self._in_force("alpha"))
        if self._in_force("contamination") != "auto":
            share = self._in_force("contamination")
            return f"flags a share of {share:g} of the training rows (contamination)", None
        if not isinstance(threshold, str):
            return f"chosen by {getattr(threshold, '__name__', type(threshold).__name__)}", None
        if threshold != "conformal" and (self.support_y_ == ANOMALOUS).sum() >= 2:
            return "the best F1 on leave-one-out scores of the training rows", None
        least = 1.0 / (n + 1)
        if alpha >= least:
            how = "conformal" if threshold == "conformal" else "auto"
            return f"by the rate of false alarms alpha={alpha:g} ({how})", alpha
        return f"by 1/(n+1), the lowest rate of false alarms that {n} normal rows allow", least


def _next_steps(support_X: Array | None, n_tasks: int, is_far: bool) -> tuple[str, ...]:
    """List what to do next, as sentences."""
    steps = []
    if support_X is None:
        learn = "" if n_tasks else "Call meta_fit with past tasks, if you have some. "
        steps.append(f"{learn}Call fit with a few rows of the new task before scoring.")
    elif (n_repeated := len(support_X) - len(set(row_keys(support_X)))) > len(support_X) / 10:
        steps.append(
            f"{n_repeated} of {len(support_X)} training rows repeat others, so that leave-one-out "
            "scores are too low and more new rows are flagged than aimed at. Drop repeated rows "
            "and fit again, unless new rows repeat training rows as often."
        )
    if is_far:
        steps.append("Check the order and the units of the columns, or meta_fit on tasks like it.")
    return tuple(steps)
