"""Draws the report's curves of metrics over bits per pixel, with a row for each set and a column for each metric."""

from __future__ import annotations

import io
from collections.abc import Sequence

from .codecs import is_aec

# Only aec has a strong colour. Variants of one format, such as the JPEGs, have shades of one hue.
AEC_COLORS = ("#d6336c", "#e893af", "#a61e4d", "#f06595", "#ffa8c5")
STYLES = {
    "jpeg": {"color": "#1c5d99", "marker": "s"},
    "jpeg-opt": {"color": "#4f94cd", "marker": "v"},
    "jpeg-444": {"color": "#8fbce0", "marker": "^"},
    "jpeg2000": {"color": "#7a5c3e", "marker": "h"},
    "webp": {"color": "#2f9e44", "marker": "D"},
    "jxl": {"color": "#0b7285", "marker": "*"},
    "avif": {"color": "#e8890c", "marker": "P"},
    "avif-ss2": {"color": "#c2410c", "marker": "d"},
    "avif-psnr": {"color": "#f2b84b", "marker": "X"},
    "avif-420": {"color": "#e8890c", "marker": "P", "linestyle": ":"},
    "avif-ss2-420": {"color": "#c2410c", "marker": "d", "linestyle": ":"},
    "avif-speed0": {"color": "#b35c00", "marker": "p"},
    "heic": {"color": "#6741d9", "marker": "<"},
    "heic-psnr": {"color": "#a78bfa", "marker": ">"},
}
PUBLISHED_COLORS = ("#495057", "#868e96", "#7048a8", "#8a6d3b", "#0b7285", "#a61e4d", "#5c940d")


def draw(report: dict, form: str) -> bytes:
    """The mean curves of a report as an image file. Published curves are drawn as thin dashed lines.

    Args:
        form: "png" or "svg".
    """
    # Figure is used without pyplot, which would have global state, need a display or change the caller's backend.
    import matplotlib
    from matplotlib.figure import Figure

    sets, metrics = report["sets"], report["metrics"]
    size = 8 * len(metrics), 5.4 * len(sets)
    # In an SVG, text is stored as text, and ids are the same in every run. Dollar signs in a file's name must not be
    # taken for a formula.
    with matplotlib.rc_context({"svg.hashsalt": "aec", "svg.fonttype": "none", "text.parse_math": False}):
        figure = Figure(figsize=size, dpi=150, layout="constrained", facecolor="white")
        panels = figure.subplots(len(sets), len(metrics), squeeze=False)
        for row, image_set in zip(panels, sets, strict=True):
            n = len(image_set["averaged"])
            row[0].set_title(f"{image_set['name']}: mean of {n} image{'s' if n != 1 else ''}", loc="left", fontsize=11)
            for axes, metric in zip(row, metrics, strict=True):
                _draw_panel(axes, image_set, metric)
        out = io.BytesIO()
        figure.savefig(out, format=form, dpi=150, metadata={"Date": None} if form == "svg" else None)
    return out.getvalue()


def _draw_panel(axes, image_set: dict, metric: dict) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    axes.set_xlabel("bits per pixel (bytes of the file, log scale)")
    axes.set_ylabel(f"{metric['name']} ({metric['unit']})" if metric["unit"] else metric["name"])
    key = metric["key"]
    ours = [name for name in image_set["curves"] if is_aec(name)]
    measured = {name: _points(curve, key) for name, curve in image_set["curves"].items()}
    measured = {name: points for name, points in measured.items() if points}
    if not measured:
        axes.text(0.5, 0.5, "not defined for these images", ha="center", transform=axes.transAxes)
        return
    for name, points in measured.items():
        style = {"linewidth": 1.6, "markersize": 4, **STYLES.get(name, {})}
        if name in ours:
            i = ours.index(name)
            style |= {"color": AEC_COLORS[i % len(AEC_COLORS)], "marker": "o"}
            style |= {"linewidth": 2.4, "zorder": 5} if i == 0 else {}
        axes.plot(*zip(*points, strict=True), label=name, **style)
    legend = {"frameon": False, "fontsize": 9}
    axes.add_artist(axes.legend(loc="upper left", **legend))

    # The limits of the axes come from the measured curves, because published curves often reach much farther.
    x_low, x_high = axes.get_xlim()
    x_low = max(x_low, min(bpp for points in measured.values() for bpp, _ in points) / 1.1)
    y_low, y_high = axes.get_ylim()
    drawn = []
    for i, (name, curve) in enumerate(image_set["published"].items()):
        if points := _points(curve, key):
            style = {"color": PUBLISHED_COLORS[i % len(PUBLISHED_COLORS)], "linewidth": 1.0, "zorder": 1}
            drawn += axes.plot(*zip(*points, strict=True), "--", label=name, **style)

    axes.set_xscale("log")
    axes.set_xlim(x_low, x_high)
    axes.set_ylim(y_low, y_high)
    ticks = [m * 10.0**e for e in range(-4, 3) for m in (1, 1.5, 2, 3, 5, 7)]
    axes.xaxis.set_major_locator(FixedLocator([t for t in ticks if x_low <= t <= x_high]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(True, color="#e9ecef", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#adb5bd")
    axes.tick_params(color="#adb5bd", labelsize=9)
    axes.legend(handles=drawn, loc="lower right", title="published" if drawn else None, alignment="left", **legend)


def _points(curve: Sequence[dict], key: str) -> list[tuple[float, float]]:
    return [(point["bpp"], point[key]) for point in curve if point.get(key) is not None]
