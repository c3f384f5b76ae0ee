"""Put tables of numbers, text, categories and dates in front of any detector."""

from __future__ import annotations

from typing import Any

from sklearn.impute import KNNImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.utils import get_tags


def make_table_pipeline(
    detector: Any,
    *,
    vectorizer: Any = None,
    imputer: Any = "auto",
    memory: Any = None,
    verbose: bool = False,
) -> Pipeline:
    """Make a pipeline that reads tables of numbers, categories, times and gaps, for any detector.

    The first step is a ``TableVectorizer`` of skrub with settings for few rows:

    - Numbers and booleans stay as they are, also where they are written as text. Columns in which
      ``fit`` sees no value are left out.
    - Each category becomes a column of zeros and ones. One that ``fit`` did not see is zero in all
      of them. A missing category is a category.
    - Of a time stamp the hour of the day is used, as a point on a circle in two columns. Later rows
      have later dates, so with few rows a date would make each of them look anomalous.
    - Text is left out, with a warning: few texts tell little about others. That is a column of 40
      different entries or more, or of eight or more that are over half as many as the rows.

    Numbers keep their full precision. A word where ``fit`` saw numbers or dates is an error that
    names it. If the detector takes no missing values, ``KNNImputer`` fills them.

    Parameters
    ----------
    detector : estimator
        Any outlier detector, or a search over one; it is not cloned.
    vectorizer : transformer, default=None
        The first step, in place of the one described. ``skrub.TableVectorizer()`` has settings for
        many rows.
    imputer : transformer, "auto" or None, default="auto"
        What fills gaps between the vectorizer and the detector. ``"auto"`` is a ``KNNImputer`` if
        the detector takes no missing values, else None, no step.
    memory : str or joblib.Memory, default=None
        As of :class:`~sklearn.pipeline.Pipeline`.
    verbose : bool, default=False
        As of :class:`~sklearn.pipeline.Pipeline`.

    Returns
    -------
    pipe : Pipeline
        Steps ``tablevectorizer``, perhaps ``imputer``, and ``detector``. Their settings are changed
        as in any pipeline, such as ``pipe.set_params(tablevectorizer__datetime="drop")``.

    Raises
    ------
    ImportError
        If skrub or pandas is not installed and ``vectorizer`` is None.

    See Also
    --------
    meta_fit_pipeline : Learns the steps and the detector on past tasks.
    sklearn_fsad.model_selection.feature_scores : Contributions of the columns of the table.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sklearn_fsad import ProtoNetDetector
    >>> from sklearn_fsad.pipeline import make_table_pipeline
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame({"heat": rng.normal(60, 2, size=30), "oil": ["thin", "thick"] * 15})
    >>> pipe = make_table_pipeline(ProtoNetDetector()).fit(X)
    >>> pipe.predict(pd.DataFrame({"heat": [61.0, 75.0], "oil": ["thin", "thin"]}))
    array([ 1, -1])
    >>> pipe[-1].feature_names_in_
    array(['heat', 'oil_thick', 'oil_thin'], dtype=object)
    """
    if isinstance(imputer, str) and imputer == "auto":
        allows_gaps = get_tags(detector).input_tags.allow_nan
        imputer = None if allows_gaps else KNNImputer().set_output(transform="pandas")
    steps = [("tablevectorizer", few_row_vectorizer() if vectorizer is None else vectorizer)]
    steps += [] if imputer is None else [("imputer", imputer)]
    return Pipeline([*steps, ("detector", detector)], memory=memory, verbose=verbose)


def few_row_vectorizer() -> Any:
    """Return a vectorizer with settings for few rows; the import is late, for skrub is optional."""
    try:
        from skrub import DatetimeEncoder, SelectCols, selectors

        from ._vectorizer import StrictTableVectorizer
    except ImportError as error:
        raise ImportError(
            "make_table_pipeline requires skrub and pandas. Install them with "
            "`pip install 'sklearn-fsad[tables]'`."
        ) from error
    parts = DatetimeEncoder(add_total_seconds=False, periodic_encoding="circular")
    hour = [("parts", parts), ("hour", SelectCols(selectors.glob("*_hour_circular*")))]
    return StrictTableVectorizer(
        # no category is dropped: an unknown one would look like it
        low_cardinality=OneHotEncoder(
            sparse_output=False, dtype="float32", handle_unknown="ignore"
        ),
        high_cardinality="drop",
        datetime=Pipeline(hour),
    )
