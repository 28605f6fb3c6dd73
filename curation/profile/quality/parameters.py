"""Trained weights, by name, as they are read from a file."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...errors import ConfigError

#: `eps` of `torch.nn.BatchNorm2d`.
_EPSILON = 1e-5


class Parameters:
    """Arrays of one module and of those below it.

    Args:
        arrays: all there are, by full name.
        prefix: of the names of this module's.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], prefix: str = ""):
        self._arrays, self._prefix = arrays, prefix

    def below(self, name: str | int) -> Parameters:
        """Those of a module in this one."""
        return Parameters(self._arrays, f"{self._prefix}{name}.")

    def __contains__(self, name: str) -> bool:
        return self._prefix + name in self._arrays

    def __getitem__(self, name: str) -> np.ndarray:
        """float32.

        Raises:
            ConfigError: there is none of this name, or it holds values that are not finite.
        """
        if name not in self:
            raise ConfigError(f"no {self._prefix}{name}")
        values = np.asarray(self._arrays[self._prefix + name], np.float32)
        if not np.isfinite(values).all():
            raise ConfigError(f"{self._prefix}{name} holds values that are not finite")
        return values

    def layer(self) -> tuple[np.ndarray, np.ndarray]:
        """Weight and bias."""
        return self["weight"], self["bias"]

    def block(self) -> tuple[np.ndarray, np.ndarray]:
        """Weight and bias of a `chains.Block`: batch normalization is part of the convolution before it.

        Raises:
            ConfigError: as of `[]`, or a variance below 0.
        """
        weight, norm = self.below(0)["weight"], self.below(1)
        variance = norm["running_var"]
        if (variance < 0).any():
            raise ConfigError(f"{norm._prefix}running_var holds values below 0")
        scale = norm["weight"] / np.sqrt(variance + np.float32(_EPSILON))
        return weight * scale[:, None, None, None], norm["bias"] - norm["running_mean"] * scale
