"""Fit a model of the user once for each support, and keep it as evidence."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral
from typing import Any, ClassVar, NoReturn, Protocol

from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval

from .._input.estimators import final_estimator, seeded
from .._typing import Array


class Support(Protocol):
    normals: Array
    anomalies: Array
    N: Array
    A: Array
    spread: Array

    @property
    def whole(self) -> Support: ...

    def once(self, key: Any, find: Callable[[], Any], *, keep: bool = False) -> Any: ...


class Rows(Protocol):
    X: Array

    @property
    def scaled(self) -> Array: ...


class ModelEvidence(BaseEstimator):
    """Fit a model of the user once for each support; pickles keep it."""

    _model = ""  # name of the parameter
    _kind = ""  # what the evidence is called
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "scale": ["boolean"],
        "name": [None, str],
        "random_state": [Interval(Integral, 0, 2**32 - 1, closed="both")],
    }
    scale: bool
    name: str | None
    random_state: int

    @property
    def __name__(self) -> str:
        model = type(final_estimator(getattr(self, self._model))).__name__
        return self.name or f"{self._kind}_of_{model}"

    def _prepare(self, support: Support) -> Any:
        """Return what is fitted to a support."""
        return support.once(self.__name__, lambda: self._fitted(support), keep=True)

    def _fitted(self, support: Support) -> Any:
        raise NotImplementedError

    def _check_parameters(self) -> None:
        self._validate_params()

    def _seeded(self) -> Any:
        return seeded(getattr(self, self._model), self.random_state)

    def _failed(self, what: str, error: Exception) -> NoReturn:
        model = type(final_estimator(getattr(self, self._model))).__name__
        raise ValueError(
            f"{type(self).__name__}: {model} failed on {what}, where a part of the training rows "
            f"is left out: {str(error).rstrip('.')}. Give more rows (n_normal or n_anomalous in "
            "meta_fit), or a model that can do with few."
        ) from error
