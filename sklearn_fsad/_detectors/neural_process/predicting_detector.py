"""Say what a neural process predicts, and what each feature adds to an anomaly score."""

from __future__ import annotations

from typing import Any

from sklearn.utils.metaestimators import available_if

from ..._typing import Array
from ..base.detector import BaseFewShotDetector
from .predictions import Predictor, feature_terms


class PredictingDetector(BaseFewShotDetector):
    """Predict features of rows, and split anomaly scores over them, by an adapted process."""

    def feature_scores(self, X: Any) -> Array:
        """Split the anomaly scores of rows over features, to see which are off.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        contributions : ndarray of shape (n_samples, n_features)
            They add up to ``-score_samples(X)``: larger = more anomalous. With ``reduce`` the terms
            of the reduced features are split by the share of each feature in them. For a training
            row the difference to its leave-one-out score is split evenly.
        """
        self._check_fitted()
        rows = self._validated(X, reset=False)
        return feature_terms(self._adaptation, rows)

    def predict_distribution(self, X: Any) -> tuple[Array, Array]:
        """Predict the target features of rows from the others, or each feature from all others.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Values of the target features are ignored and may be NaN.

        Returns
        -------
        mean, std : ndarray of shape (n_samples, n_targets)
            Mean and standard deviation in the unit of each feature; without ``target_features``
            there is one for every feature.
        """
        predictor = self._predictor()
        return predictor.distribution(self._validated(X, reset=False))

    @available_if(lambda self: self._in_force("kind") == "np")
    def sample_functions(self, X: Any) -> Array:
        """Predict rows once for each sample of the latent variable; only for ``kind="np"``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        functions : ndarray of shape (n_latent_samples, n_samples, n_targets)
            The means, each sample one function; columns as in :meth:`predict_distribution`.
        """
        predictor = self._predictor()
        if predictor.module.network is None:
            raise ValueError(
                "There is no latent variable to sample: the default formula was better on held-out "
                "tasks, or max_epochs=0. Use gate=False, or train."
            )
        return predictor.functions(self._validated(X, reset=False))

    def _predictor(self) -> Predictor:
        """Return the predictor of features, unless these are reduced ones."""
        self._check_fitted()
        if self.state_.architecture["reduce"] is not None:
            raise ValueError(
                "With reduce the process predicts reduced features, not those of X: use "
                "reduce=None for predictive distributions."
            )
        return Predictor(self._adaptation, self.n_features_in_)
