"""Read the parameters of a detector: as plain values, as a state records them, as ``fit`` found."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from inspect import signature
from typing import Any, ClassVar

from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import InvalidParameterError, validate_parameter_constraints

from ..._training.checks import check_settings
from ..._training.progress import progress
from ..._training.settings import TrainingSettings
from ..._values import plain, plain_scalar
from ..._version import doc_link_template
from .checks import check_device, check_shots, copied_callback


class Parameters(BaseEstimator):
    """Validate the parameters of a detector, and read them as plain values of Python."""

    _parameter_constraints: ClassVar[dict[str, Any]] = {}
    _doc_link_module, _doc_link_template = "sklearn_fsad", doc_link_template

    # --- validation -------------------------------------------------------------------------------
    def _validate_params(self) -> None:
        values, name = plain_parameters(self), type(self).__name__
        validate_parameter_constraints(self._parameter_constraints, values, name)
        for parameter in ("scaler", "threshold"):  # their methods satisfy the constraints too
            if isinstance(values.get(parameter), type):
                given = values[parameter].__name__
                raise InvalidParameterError(
                    f"The {parameter!r} parameter of {name} is the class {given}: give an "
                    f"instance, such as {given}()."
                )

    def _check_parameters(self) -> None:
        """Refuse parameters that do not go together, before anything is learned."""

    def _check_before_training(self) -> None:
        """Refuse parameters with which ``meta_fit`` would fail, before it begins."""
        check_shots(self.n_normal, self.n_anomalous)
        self._check_parameters()
        settings = self._net_settings(lr=1e-3, seed=0)
        check_device(settings.device)
        check_settings(settings, may_validate=self._may_validate)

    @property
    def _may_validate(self) -> bool:
        """Return whether a training may have episodes to validate on."""
        return False

    # --- reading ----------------------------------------------------------------------------------
    def _in_force(self, name: str) -> Any:
        """Return a parameter as the last ``fit`` found it; before any, as it is."""
        return getattr(self._adaptation.method if hasattr(self, "_adaptation") else self, name)

    def _net_settings(self, lr: float, seed: int, max_epochs: int = 0) -> TrainingSettings:
        """Collect training settings; ``lr`` and ``max_epochs`` count where None is set."""
        parameters = {
            name: value
            for name, value in plain_parameters(self).items()
            if name not in ("pretrained", "callbacks", "verbose", "random_state")
        }
        settings = TrainingSettings(
            lr=lr if self.lr is None else self.lr,
            max_epochs=max_epochs if self.max_epochs is None else self.max_epochs,
            batch_size=self.batch_size,
            device=self.device,
            seed=seed,
            callbacks=[copied_callback(callback) for callback in self.callbacks or ()],
            parameters=parameters,
            keep_on_interrupt=True,
        )
        return settings.with_net_params(copy.deepcopy(self.net_params or {}))

    def _progress(self, method: str) -> AbstractContextManager[None]:
        """Tell the progress of a method in the block, as ``verbose`` says."""
        verbose = (self.net_params or {}).get("verbose", self.verbose)
        return progress(f"{type(self).__name__}.{method}", verbose)

    @property
    def _scaler_follows(self) -> bool:
        """Return whether ``scaler="auto"`` leaves the scaler to the method."""
        return isinstance(self.scaler, str) and self.scaler == "auto"

    def _seed(self) -> int:
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _architecture_value(self, name: str) -> Any:
        """Return a parameter as a state records it; None where it follows the state."""
        value = getattr(self, name)
        if name == "scaler":
            if isinstance(value, str):
                return None if value == "auto" else value
            settings = re.sub(r" at 0x[0-9a-fA-F]+", "", str(value.get_params()))  # of functions
            return f"{type(value).__name__}({settings})"
        return list(value) if isinstance(value, tuple) else value


def plain_parameters(detector: Any) -> dict[str, Any]:
    """Return the parameters of a detector as plain values of Python.

    A parameter that may be a tuple is one, whatever sequence was given; other sequences stay as
    they are.
    """
    allowed, values = detector._parameter_constraints, {}
    for name, value in detector.get_params(deep=False).items():
        kinds = [*allowed.get(name, ())]
        as_tuple = tuple in kinds and (isinstance(value, tuple) or type(value) not in kinds)
        values[name] = plain(value) if as_tuple else plain_scalar(value)
    return values


def given_shots(detector: BaseEstimator) -> set[str]:
    """Return which ranges of shots differ from the defaults of the constructor."""
    parameters = signature(type(detector)).parameters
    return {
        name
        for name in ("n_normal", "n_anomalous")
        if name in parameters and getattr(detector, name) != parameters[name].default
    }


@contextmanager
def with_plain_parameters(detector: BaseEstimator) -> Iterator[None]:
    """Replace the parameters by plain values within the block, and put back what was given."""
    given = detector.get_params(deep=False)
    vars(detector).update(plain_parameters(detector))
    try:
        yield
    finally:
        vars(detector).update(given)
