"""Draw the logo and the picture of the first page anew: ``make pictures``."""

from pathlib import Path

import matplotlib

matplotlib.use("agg")

from pictures.hero import draw_heroes
from pictures.logo import draw_logos

if __name__ == "__main__":
    folder = Path(__file__).parent / "_static"
    draw_logos(folder)
    draw_heroes(folder)
