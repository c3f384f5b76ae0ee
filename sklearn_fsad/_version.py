"""The installed version of the package."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("sklearn-fsad")
except PackageNotFoundError:  # used from a folder that was never installed
    __version__ = "0+unknown"
