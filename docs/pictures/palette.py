"""Colours of all pictures, for light and for dark pages."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Palette:
    """One set of colours; `suffix` ends the names of files drawn with it."""

    suffix: str
    page: str
    text: str
    faint: str
    normal: str
    anomaly: str


LIGHT = Palette("", "#ffffff", "#1f2933", "#8895a3", "#1f6f8b", "#e4572e")
DARK = Palette("_dark", "#14181e", "#e4e9ee", "#8b98a6", "#66c2dd", "#ff8a5c")
