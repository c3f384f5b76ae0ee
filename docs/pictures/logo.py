"""The logo: a few normal rows inside a boundary, one anomaly outside of it."""

from matplotlib.font_manager import FontProperties
from matplotlib.path import Path as Outline
from matplotlib.textpath import TextPath
from pictures.palette import DARK, LIGHT

_LETTERS = {
    Outline.MOVETO: "M",
    Outline.LINETO: "L",
    Outline.CURVE3: "Q",
    Outline.CURVE4: "C",
    Outline.CLOSEPOLY: "Z",
}
_NORMAL_ROWS = [(21, 33), (33, 28), (25, 45), (38, 42)]


def draw_logos(folder):
    """Write the logo with its name for light and dark pages, and the mark as an icon."""
    for palette in (LIGHT, DARK):
        name = _text("sklearn-", "normal", 76, palette.text)
        name += _text("fsad", "bold", 76 + _width("sklearn-", "normal"), palette.text)
        width = 80 + _width("sklearn-", "normal") + _width("fsad", "bold")
        _write(folder / f"logo{palette.suffix}.svg", width, "sklearn-fsad", _mark(palette) + name)
    _write(folder / "favicon.svg", 64, "sklearn-fsad", _mark(LIGHT))


def _mark(palette):
    ring = f'<circle cx="29" cy="37" r="22" fill="none" stroke="{palette.normal}" '
    ring += 'stroke-width="4.5"/>'
    dots = [_dot(x, y, 4, palette.normal) for x, y in _NORMAL_ROWS]
    return "".join([ring, *dots, _dot(54, 11, 6.5, palette.anomaly)])


def _dot(x, y, radius, colour):
    return f'<circle cx="{x}" cy="{y}" r="{radius}" fill="{colour}"/>'


def _outline(text, weight):
    return TextPath((0, 0), text, size=36, prop=FontProperties(family="DejaVu Sans", weight=weight))


def _width(text, weight):
    return _outline(text, weight).get_extents().x1 + 2


def _text(text, weight, x, colour):
    """Letters as shapes, so that no font has to be there."""
    parts = [
        _LETTERS[code] + " ".join(f"{value:.1f}" for value in points)
        if code != Outline.CLOSEPOLY
        else "Z"
        for points, code in _outline(text, weight).iter_segments(simplify=False)
    ]
    place = f'transform="translate({x:.1f} 49) scale(1 -1)"'
    return f'<path {place} fill="{colour}" d="{"".join(parts)}"/>'


def _write(path, width, title, shapes):
    head = '<svg xmlns="http://www.w3.org/2000/svg" role="img" '
    head += f'viewBox="0 0 {width:.0f} 64" width="{width:.0f}" height="64">'
    path.write_text(f"{head}<title>{title}</title>{shapes}</svg>\n", encoding="utf-8")
