"""Turn anomaly scores into probabilities, by a curve learned on episodes or by the support alone.

Scores are expressed relative to the leave-one-out scores of the support's normals, so that one
curve serves all tasks: in spreads of these, logarithmic for large ones, and as p-values among them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from ..._input.labels import ANOMALOUS
from ..._state import MetaState
from ..._training.progress import steps
from ..._typing import Array
from ...tasks._episodes import EpisodeSampler

CURVE = "probability"
USUAL_RATE = 0.1  # share of anomalies where it is unknown, as in PyOD
_EPOCH = 2**20  # of episodes that no training draws
_EPISODES, _MOST_EPISODES = 8, 96  # a task, and in all
_COST = 5.0  # of an episode
_C = 100.0  # of the logistic regression: hardly a penalty
_SHAPE = 0.2  # of the density of anomalies' p-values, where none is labelled: a ROC AUC of 1 / 1.2
_TAIL = 0.2  # share of the normals whose excess makes the tail


@dataclass(frozen=True)
class ScoredEpisode:
    """Hold the anomaly scores of an episode.

    Attributes
    ----------
    normals : ndarray of shape (n,)
        Leave-one-out scores of the support's normals, larger = more anomalous.
    anomalies : ndarray of shape (k,)
        Leave-one-out scores of its labelled anomalies.
    scores : ndarray of shape (n_query,)
        Scores of the query.
    is_anomaly : ndarray of shape (n_query,)
        Labels of the query.
    rate : float
        Share of anomalies in the task.
    """

    normals: Array
    anomalies: Array
    scores: Array
    is_anomaly: NDArray[np.bool_]
    rate: float


def learn_from_tasks(
    detector: Any, sampler: EpisodeSampler, n_trained_on: int | None
) -> tuple[Array, float] | None:
    """Learn the curve of a meta-fitted detector, and the share of anomalies in its tasks.

    Both are None together where no episode can be drawn from the tasks.

    Parameters
    ----------
    detector : estimator
        A meta-fitted detector; it is fitted to the support of each episode.
    sampler : EpisodeSampler
        Sampler of the training tasks.
    n_trained_on : int or None
        Episodes of an epoch, where the user has set them; at most half as many are scored.
    """
    drawable = sampler.drawable
    if not drawable:
        return None
    n = _n_episodes(sampler, n_trained_on)
    curve = learn_curve(list(scored_episodes(detector, sampler, n)))
    rates = [(sampler.tasks[i].y == ANOMALOUS).mean() for i in drawable]
    return curve, float(np.mean(rates))


def work_of_curve(sampler: EpisodeSampler, n_trained_on: int | None) -> float:
    """Return the work of :func:`learn_from_tasks`."""
    return _COST * _n_episodes(sampler, n_trained_on)


def _n_episodes(sampler: EpisodeSampler, n_trained_on: int | None) -> int:
    """Return the number of episodes that are scored."""
    n = min(_EPISODES * len(sampler.drawable), _MOST_EPISODES)
    return n if n_trained_on is None else min(n, max(n_trained_on // 2, 1))


def scored_episodes(detector: Any, sampler: EpisodeSampler, n: int) -> Iterator[ScoredEpisode]:
    """Fit a detector to supports of a sampler and score the queries."""
    for i in steps(range(n), "probabilities", _COST):
        e = sampler.episode(_EPOCH, i)
        detector.fit(e.support_X, e.support_y)
        rate = float((sampler.tasks[e.task].y == ANOMALOUS).mean())
        normals, anomalies = detector._adaptation.left_out_by_label()
        scores = -detector.score_samples(e.query_X)
        yield ScoredEpisode(normals, anomalies, scores, e.query_y == ANOMALOUS, rate)


def learn_curve(episodes: Sequence[ScoredEpisode]) -> Array:
    """Fit the curve from scores to log odds: coefficients of shape (3, 4).

    Rows are the intercept and the slopes of the two score features, columns the regressors of the
    support that each of these depends on. Within an episode anomalies have the weight of their
    share in the task, and all episodes weigh the same.
    """
    rows, truth, weights = [], [], []
    for e in episodes:
        found = np.where(e.is_anomaly, e.is_anomaly.mean(), 1.0 - e.is_anomaly.mean())
        wanted = np.where(e.is_anomaly, e.rate, 1.0 - e.rate)
        regressors = _support_regressors(e.normals, e.anomalies)  # (4,)
        features = _score_features(e.scores, e.normals)  # (3, m)
        rows.append((features.T[:, :, None] * regressors).reshape(len(e.scores), -1))
        truth.append(e.is_anomaly)
        weights.append(wanted / found / len(e.scores))
    weight = np.concatenate(weights)
    model = LogisticRegression(C=_C, fit_intercept=False, solver="newton-cholesky")
    model.fit(np.concatenate(rows), np.concatenate(truth), weight / weight.mean())
    return np.asarray(model.coef_.reshape(3, -1), dtype=np.float64)


def by_curve(
    coefficients: Array, scores: Array, normals: Array, anomalies: Array, *, shift: float = 0.0
) -> Array:
    """Compute the probability that rows are anomalous, by a learned curve.

    It never decreases with the score. ``shift`` is added to the log odds.
    """
    intercept, *slopes = coefficients @ _support_regressors(normals, anomalies)
    # both features grow with the score: slopes of 0 or more keep the order of the scores
    weights = np.array([intercept + shift, *np.maximum(slopes, 0.0)])
    return expit(weights @ _score_features(scores, normals))


def by_support(scores: Array, normals: Array, anomalies: Array, *, rate: float) -> Array:
    """Compute the probability that rows are anomalous from the support alone.

    p-values of normals are uniform; those of anomalies are assumed to have the density
    ``shape * p ** (shape - 1)`` [1]_, with a shape estimated from the labelled anomalies where
    there are any. Beyond the normals p-values decrease exponentially, by their mean excess.

    References
    ----------
    .. [1] V. Vovk and R. Wang, "E-values: calibration, combination and applications", Annals of
       Statistics 49, 2021.
    """
    log_p = _log_p_values(np.concatenate([scores, anomalies]), normals)
    log_p, of_anomalies = log_p[: len(scores)], log_p[len(scores) :]
    # (1 + k) / (1 / shape - sum of log p): maximum likelihood with one more anomaly of shape _SHAPE
    shape = min((1.0 + len(anomalies)) / (1.0 / _SHAPE - of_anomalies.sum()), 1.0)
    # prior odds times the density of anomalies; that of normals is 1
    return expit(logit(rate) + np.log(shape) + (shape - 1.0) * log_p)


def probability(
    learned: tuple[Array, float] | None,
    scores: Array,
    normals: Array,
    anomalies: Array,
    *,
    rate: float | None,
    usual: float = USUAL_RATE,
) -> Array:
    """Compute the probability that rows are anomalous, by a learned curve where there is one.

    Parameters
    ----------
    learned : (ndarray, float) or None
        The curve, and the share of anomalies in the tasks it was learned on.
    scores : ndarray of shape (m,)
        Anomaly scores of the rows.
    normals : ndarray of shape (n,)
        Leave-one-out scores of the support's normals.
    anomalies : ndarray of shape (k,)
        Leave-one-out scores of its labelled anomalies.
    rate : float or None
        Share of anomalies among the rows; None means that of the tasks.
    usual : float, default=0.1
        Share where neither is known.

    Returns
    -------
    p : ndarray of shape (m,)
    """
    if learned is None:
        return by_support(scores, normals, anomalies, rate=rate or usual)
    curve, of_tasks = learned
    # another share of anomalies moves the log odds by the difference of the prior ones
    shift = 0.0 if rate is None else float(logit(rate) - logit(of_tasks))
    return by_curve(curve, scores, normals, anomalies, shift=shift)


def learned_curve(state: MetaState | None) -> tuple[Array, float] | None:
    """Return the curve learned on tasks and their share of anomalies; None without tasks."""
    curve = None if state is None else state.arrays.get(CURVE)
    return None if state is None or curve is None else (curve, state.info["anomaly_rate"])


def _support_regressors(normals: Array, anomalies: Array) -> Array:
    """Return 1, log numbers of shots, and mean standardised score of labelled anomalies: (4,)."""
    place = _standardised(anomalies, normals).mean() if len(anomalies) else 0.0
    return np.array([1.0, np.log(len(normals)), np.log1p(len(anomalies)), place])


def _score_features(scores: Array, normals: Array) -> Array:
    """Return 1, standardised scores and minus log p, which grow with the score: (m,) -> (3, m)."""
    z, log_p = _standardised(scores, normals), _log_p_values(scores, normals)
    return np.stack([np.ones_like(z), z, -log_p])


def _standardised(scores: Array, normals: Array) -> Array:
    """Standardise scores by those of the normals; arcsinh makes large ones logarithmic."""
    spread = normals.std()
    return np.arcsinh((scores - normals.mean()) / (spread if spread > 0.0 else 1.0))


def _log_p_values(scores: Array, normals: Array) -> Array:
    """Compute log p-values among the normals: by rank, with an exponential upper tail."""
    ordered = np.sort(normals)
    n = len(ordered)
    first = n - max(1, round(_TAIL * n))  # of the tail
    start = ordered[first - 1]
    excess = (ordered[first:] - start).mean()
    # the mean excess is the maximum likelihood scale of an exponential tail
    above = 1.0 - np.interp(np.minimum(scores, start), ordered, np.arange(1, n + 1) / (n + 1))
    steps = (scores - start) / (excess if excess > 0.0 else 1.0)
    return np.log(above) - np.maximum(steps, 0.0)
