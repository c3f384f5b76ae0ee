"""Make tasks from classes, from groups, or from one unlabelled table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.mixture import GaussianMixture
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils.validation import column_or_1d

from .._input.names import in_order, names_of, rows_by_name
from .._input.rows import named_rows, refuse_huge
from .._stats.moments import feature_spread
from .._typing import Array
from ._task_set import TaskSet

Maker = Callable[[Array, GaussianMixture, int, np.random.Generator], Array]
_LEAST_ROWS = 10
_LOCAL, _CLUSTER, _GLOBAL = 5.0, 5.0, 0.1  # strengths, as in the reference


def make_tasks_from_classes(
    X: Any,
    y: Any,
    *,
    classes: Sequence[Any] | None = None,
    n_normal: int | None = None,
    n_anomalous: int | None = None,
    random_state: Any = None,
) -> TaskSet:
    """Make one task for each class: its rows are normal, those of the others anomalous.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Rows.
    y : array-like of shape (n_samples,)
        Class of each row: a list, an array or a column of a frame, of any type, without missing
        values.
    classes : sequence, default=None
        Classes that are normal in one task each; None means all.
    n_normal, n_anomalous : int, default=None
        Largest number of normal and of anomalous rows in a task, drawn at random; None means all.
    random_state : int, RandomState or None, default=None
        Seed.

    Returns
    -------
    tasks : TaskSet
        Named by their normal class, in the order of these names.

    Raises
    ------
    ValueError
        If ``X`` holds values that are not numbers, a row has no class, there are fewer than two
        classes, or ``classes`` is not a sequence.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_fsad.tasks import make_tasks_from_classes
    >>> make_tasks_from_classes(*load_digits(return_X_y=True), n_anomalous=20, random_state=0)
    TaskSet(10 tasks, 1997 rows, n_features=64)
    """
    X, columns = named_rows(X, dtype=np.float64)
    is_column = len(getattr(y, "shape", ())) == 2
    rows_of = rows_by_name(column_or_1d(y) if is_column else y, "y", "class")
    check_consistent_length(X, range(sum(map(len, rows_of.values()))))
    known = in_order(rows_of)
    wanted = known if classes is None else _wanted(classes)
    unknown = [str(c) for c in wanted if c not in rows_of]
    if unknown or len(known) < 2:
        raise ValueError(
            f"y has the classes {', '.join(map(str, known))}; "
            + (f"there is no {', '.join(unknown)}." if unknown else "two are needed.")
        )
    rng = check_random_state(random_state)
    tasks = {}
    for c in wanted:
        normal = _some(rows_of[c], n_normal, rng)
        others = np.delete(np.arange(len(X)), rows_of[c])
        anomalous = _some(others, n_anomalous, rng)
        rows = np.concatenate([normal, anomalous])
        tasks[c] = X[rows], np.repeat([0, 1], [len(normal), len(anomalous)])
    return _named(TaskSet(tasks, outlier_label=1), columns)


def make_tasks_from_groups(
    X: Any, y: Any, groups: Any, *, siblings: Any = None, outlier_label: Any = "auto"
) -> TaskSet:
    """Make one task for each group of flat rows, such as a machine, a customer or a day.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Rows.
    y : array-like of shape (n_samples,) or None
        Labels, as in the detectors.
    groups : array-like of shape (n_samples,)
        Task of each row.
    siblings : mapping, default=None
        Family of each group, such as the type of the machine. Groups of one family are related, and
        validation holds them out together.
    outlier_label : "auto", number or str, default="auto"
        Label of the anomalies, as in the detectors.

    Returns
    -------
    tasks : TaskSet
        Named by their group.

    Raises
    ------
    ValueError
        If rows cannot be read or used, ``groups`` is not one task id per row, or ``siblings`` is
        not a mapping or lacks a group.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_fsad.tasks import make_tasks_from_groups
    >>> X, days = np.arange(12.0).reshape(6, 2), ["Mon", "Mon", "Mon", "Tue", "Tue", "Tue"]
    >>> make_tasks_from_groups(X, [0, 0, 1, 0, 0, 1], days)
    TaskSet(2 tasks, 6 rows, n_features=2)
    """
    tasks = TaskSet.make(X, y, groups, outlier_label=outlier_label)
    if siblings is None:
        return tasks
    if not hasattr(siblings, "keys"):  # a series has them too
        raise ValueError(
            f"siblings must be a mapping, from each group to its family, got "
            f"{type(siblings).__name__}: pass siblings={{{tasks.names[0]!r}: <family>, ...}}."
        )
    missing = [str(task.name) for task in tasks if task.name not in siblings]
    if missing:
        raise ValueError(f"siblings has no entry for {', '.join(missing)}.")
    return tasks.regrouped([siblings[task.name] for task in tasks])


def make_tasks_from_table(
    X: Any,
    n_tasks: int = 20,
    *,
    kinds: Sequence[str] = ("local", "global", "cluster", "dependency"),
    n_normal: int = 100,
    n_anomalous: int = 20,
    max_components: int = 5,
    random_state: Any = None,
) -> TaskSet:
    """Make tasks from one unlabelled table: its rows are normal, anomalies are synthetic.

    Kinds of anomalies alternate between tasks [1]_. A Gaussian mixture is fitted to the table:
    ``local`` anomalies are drawn from it with five times the covariances, ``cluster`` ones with the
    means five times as far from the centre; ``global`` ones are uniform in a box a tenth larger
    than that of the table; ``dependency`` ones take each column from another row.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        At least ten rows, which count as normal.
    n_tasks : int, default=20
        Number of tasks.
    kinds : sequence of str, default=("local", "global", "cluster", "dependency")
        Kinds of anomalies, in turn.
    n_normal, n_anomalous : int, default=100 and 20
        Rows of a task. Normal rows are not repeated, so there are at most as many as in the table.
    max_components : int, default=5
        Largest number of components of the mixture; the Bayesian information criterion chooses it.
    random_state : int, RandomState or None, default=None
        Seed.

    Returns
    -------
    tasks : TaskSet
        Named by kind and number.

    Raises
    ------
    ValueError
        If ``X`` holds values that are not numbers, or above 1e60.

    References
    ----------
    .. [1] S. Han et al., "ADBench: anomaly detection benchmark", NeurIPS 2022.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_fsad.tasks import make_tasks_from_table
    >>> X = np.random.default_rng(0).normal(size=(300, 4))
    >>> make_tasks_from_table(X, 8, random_state=0)
    TaskSet(8 tasks, 960 rows, n_features=4)
    """
    X, columns = named_rows(X, dtype=np.float64, ensure_min_samples=_LEAST_ROWS)
    refuse_huge(X, columns=columns)
    kinds = [str(kind) for kind in kinds]
    unknown = [kind for kind in kinds if kind not in _KINDS]
    if unknown or not kinds:
        raise ValueError(f"kinds={tuple(kinds)} must be some of {', '.join(_KINDS)}.")
    if n_tasks < 1 or n_normal < 2 or n_anomalous < 1:
        raise ValueError(
            f"n_tasks={n_tasks} and n_anomalous={n_anomalous} must be at least 1, "
            f"n_normal={n_normal} at least 2."
        )
    rng = np.random.default_rng(check_random_state(random_state).randint(2**31 - 1))
    mixture = _mixture(X, max_components, seed=int(rng.integers(2**31 - 1)))
    tasks = {}
    for i in range(n_tasks):
        kind = kinds[i % len(kinds)]
        normals = X[rng.permutation(len(X))[:n_normal]]
        anomalies = _KINDS[kind](X, mixture, n_anomalous, rng)
        labels = np.repeat([0, 1], [len(normals), n_anomalous])
        tasks[f"{kind} {i}"] = np.concatenate([normals, anomalies]), labels
    return _named(TaskSet(tasks, outlier_label=1), columns)


def _wanted(classes: Any) -> list[Any]:
    """List the classes that are asked for."""
    try:
        wanted = names_of([classes] if isinstance(classes, str) else classes)
        dict.fromkeys(wanted)  # of what is no class
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"classes must be a sequence of some classes of y, got {classes!r}: pass "
            "classes=[<class>, ...]."
        ) from error
    return wanted


def _named(tasks: TaskSet, columns: tuple[Any, ...] | None) -> TaskSet:
    """Keep the names of the columns of the frame that tasks were made of."""
    return tasks.with_tasks(replace(task, columns=columns) for task in tasks)


def _some(rows: NDArray[np.intp], most: int | None, rng: Any) -> NDArray[np.intp]:
    if most is None or len(rows) <= most:
        return rows
    return np.sort(rng.choice(rows, most, replace=False))


def _mixture(X: Array, max_components: int, seed: int) -> GaussianMixture:
    """Fit mixtures, of full covariance where rows are many; return the one with the best BIC."""
    shape = "full" if len(X) > 10 * X.shape[1] else "diag"
    most = max(1, min(max_components, len(X) // _LEAST_ROWS))
    spread = feature_spread(X)
    fitted = [
        GaussianMixture(k, covariance_type=shape, reg_covar=1e-3, random_state=seed).fit(X / spread)
        for k in range(1, most + 1)
    ]
    return min(fitted, key=lambda mixture: mixture.bic(X / spread))


def _from_mixture(
    X: Array, mixture: GaussianMixture, n: int, rng: np.random.Generator, wider: float, away: float
) -> Array:
    """Draw rows of the mixture, covariances times ``wider``, means ``away`` times as far out."""
    spread, centre = feature_spread(X), X.mean(axis=0)
    component = rng.choice(mixture.n_components, size=n, p=mixture.weights_)
    noise = rng.normal(size=(n, X.shape[1]))
    if mixture.covariance_type == "full":
        roots = np.linalg.cholesky(mixture.covariances_)
        noise = np.einsum("nij,nj->ni", roots[component], noise)
    else:
        noise = noise * np.sqrt(mixture.covariances_[component])
    means = mixture.means_[component] * spread
    return centre + away * (means - centre) + np.sqrt(wider) * noise * spread


def _local(X: Array, mixture: GaussianMixture, n: int, rng: np.random.Generator) -> Array:
    return _from_mixture(X, mixture, n, rng, wider=_LOCAL, away=1.0)


def _cluster(X: Array, mixture: GaussianMixture, n: int, rng: np.random.Generator) -> Array:
    if mixture.n_components > 1:
        return _from_mixture(X, mixture, n, rng, wider=1.0, away=_CLUSTER)
    direction = rng.normal(size=X.shape[1])  # the mean of a single component is the centre
    shift = _CLUSTER * direction / np.linalg.norm(direction) * feature_spread(X)
    return shift + _from_mixture(X, mixture, n, rng, wider=0.2, away=1.0)


def _global(X: Array, mixture: GaussianMixture, n: int, rng: np.random.Generator) -> Array:
    low, high = X.min(axis=0), X.max(axis=0)
    margin = 0.5 * _GLOBAL * (high - low)
    return rng.uniform(low - margin, high + margin, size=(n, X.shape[1]))


def _dependency(X: Array, mixture: GaussianMixture, n: int, rng: np.random.Generator) -> Array:
    rows = rng.integers(len(X), size=(n, X.shape[1]))
    return np.take_along_axis(X, rows, axis=0)


_KINDS: dict[str, Maker] = {
    "local": _local,
    "global": _global,
    "cluster": _cluster,
    "dependency": _dependency,
}
