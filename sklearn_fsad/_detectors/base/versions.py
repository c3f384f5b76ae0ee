"""Write the version of the package into pickles, and warn where another one reads them."""

from __future__ import annotations

import warnings
from typing import Any

from sklearn.base import BaseEstimator

from ..._version import __version__
from ...exceptions import InconsistentVersionWarning


class VersionedPickles(BaseEstimator):
    """Remember in pickles which version of the package made them."""

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_sklearn_fsad_version": __version__}

    def __setstate__(self, state: dict[str, Any]) -> None:
        made_by = state.get("_sklearn_fsad_version", "before 0.2.0")
        if made_by != __version__:
            warnings.warn(
                InconsistentVersionWarning(
                    estimator_name=type(self).__name__,
                    current_sklearn_version=__version__,
                    original_sklearn_version=made_by,
                ),
                stacklevel=2,
            )
        super().__setstate__({k: v for k, v in state.items() if k != "_sklearn_fsad_version"})
