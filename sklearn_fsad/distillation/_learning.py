"""Make rows, let the detector score them, and train students until one agrees well enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from .._typing import Array, Mask
from ._agreement import Agreement, auc_loss, rank_correlation
from ._rows import LIKE_NORMALS, KnownRows, make_rows
from ._student import Student
from ._teacher import Teacher
from ._training import inputs_for, train

SIZES = ((32, 32), (128, 64))  # tried in this order
_MOST_NUMBERS = 2.5e7  # of all made rows
_LEAST_ROWS = 5000
_LEFT_OUT_MADE, _LEFT_OUT_GIVEN = 0.1, 0.25
_MOST_LEFT_OUT = 2000  # of given rows
GIVEN = "given"
_WEIGHT_OF_GIVEN = 0.3  # in the training, by repeating them
_ROWS_OF_CUT = 4000  # training rows that tell where the detector begins to flag


@dataclass(frozen=True)
class GivenRows:
    """Hold rows given to ``distil``: to train on, and left out, with labels where they are known.

    Attributes
    ----------
    train : ndarray of shape (n_train, d)
    left_out : ndarray of shape (n_left_out, d)
    is_anomaly : ndarray of shape (n_left_out,), dtype bool, or None
    """

    train: Array
    left_out: Array
    is_anomaly: Mask | None = None

    @classmethod
    def split(cls, X: Array, is_anomaly: Mask | None, rng: np.random.Generator) -> Self:
        """Leave out a quarter of the rows, 2000 at most: (n, d), (n,)."""
        order = rng.permutation(len(X))
        n_out = min(int(np.ceil(_LEFT_OUT_GIVEN * len(order))), _MOST_LEFT_OUT)
        out, kept = order[:n_out], order[n_out:]
        return cls(X[kept], X[out], None if is_anomaly is None else is_anomaly[out])


@dataclass(frozen=True)
class _Rows:
    """Hold rows to train on, and rows left out by kind."""

    train: Array
    left_out: Mapping[str, Array]
    labels: Mask | None  # of the given rows left out


@dataclass(frozen=True)
class Distilled:
    """Hold a student, its agreement, and its threshold on anomaly scores."""

    student: Student
    agreement: Agreement
    cut: float


def distilled(
    teacher: Teacher,
    known: KnownRows,
    given: GivenRows | None,
    *,
    hidden: Sequence[int] | None,
    n_rows: int,
    max_epochs: int,
    enough: float,
    seed: int,
) -> Distilled:
    """Train students of growing size; stop when one agrees, or return the one that does best."""
    rng = np.random.default_rng(seed)
    rows = _rows(known, given, n_rows, rng)
    scores = teacher.scores(rows.train)
    inputs = inputs_for(known, seed)
    best = None
    for size in SIZES if hidden is None else (tuple(hidden),):
        student = train(inputs, rows.train, scores, size, max_epochs, seed)
        found = _measured(teacher, student, rows)
        if best is None or found.agreement.rank_correlation > best.agreement.rank_correlation:
            best = found
        if best.agreement.rank_correlation >= enough:
            break
    assert best is not None
    return best


def _rows(known: KnownRows, given: GivenRows | None, n: int, rng: np.random.Generator) -> _Rows:
    """Make rows, and leave out a tenth of each kind, or the given rows that are to be left out."""
    most = max(int(_MOST_NUMBERS / known.normals.shape[1]), _LEAST_ROWS)
    made = make_rows(known, min(n, most), rng)
    train, left_out = [], {}
    for name, rows in made.items():
        n_out = max(int(_LEFT_OUT_MADE * len(rows)), 2)
        left_out[name], kept = rows[:n_out], rows[n_out:]
        train.append(kept)
    if given is None:
        return _Rows(np.concatenate(train), left_out, None)
    times = _WEIGHT_OF_GIVEN * sum(map(len, train)) / len(given.train)
    train.append(np.repeat(given.train, max(round(times), 1), axis=0))
    return _Rows(np.concatenate(train), {GIVEN: given.left_out}, given.is_anomaly)


def _measured(teacher: Teacher, student: Student, rows: _Rows) -> Distilled:
    """Measure a student on the rows left out, and choose its threshold there.

    Of made rows those most like normal rows count: real rows are nearer to these than to others.
    """
    kinds = np.repeat([*rows.left_out], [len(part) for part in rows.left_out.values()])
    X = np.concatenate([*rows.left_out.values()])
    theirs, mine, flags = teacher.scores(X), student.score(X), teacher.flags(X)
    by_kind = {
        name: rank_correlation(theirs[kinds == name], mine[kinds == name]) for name in rows.left_out
    }
    counted = [name for name in (GIVEN, *LIKE_NORMALS) if name in by_kind]
    near = np.isin(kinds, counted)
    least = [by_kind[name] for name in counted]
    if GIVEN not in by_kind:  # normal rows differ less from each other than made ones
        for name in counted:
            quiet = (kinds == name) & ~flags
            if quiet.sum() > (kinds == name).sum() / 2:  # else these are few, and much alike
                least.append(rank_correlation(theirs[quiet], mine[quiet]))
    usual = None
    if GIVEN in by_kind:  # few, so that the cut may lie anywhere in a wide gap of their scores
        some = rows.train[:: max(len(rows.train) // _ROWS_OF_CUT, 1)]
        usual = cut_of_share(student.score(some), teacher.flags(some))
    cut = cut_of_share(mine[near], flags[near], usual)
    agreement = Agreement(
        rows=GIVEN if GIVEN in by_kind else "made",
        n_rows=int(near.sum()),
        rank_correlation=min(least),
        auc_loss=auc_loss(theirs, mine, flags, rows.labels),
        flagged_by_detector=float(flags[near].mean()),
        flagged=float((mine[near] > cut).mean()),
        by_kind=by_kind,
    )
    return Distilled(student, agreement, cut)


def cut_of_share(scores: Array, flags: Mask, usual: float | None = None) -> float:
    """Return the anomaly score above which as many rows lie as are flagged: (m,), (m,).

    Of all such scores it is the one nearest to ``usual``, or else the middle one.
    """
    ascending, n = np.sort(scores), int(flags.sum())
    below = ascending[-n - 1] if n < len(ascending) else -np.inf
    above = ascending[-n] if n else np.inf
    if usual is None:
        usual = float(np.mean([end for end in (below, above) if np.isfinite(end)]))
    return float(min(max(usual, below), max(below, np.nextafter(above, -np.inf))))
