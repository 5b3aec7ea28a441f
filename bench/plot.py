"""rd.csv -> rd.png: mean PSNR over mean bits per pixel, a panel for each set of images.

Reads nothing but the CSV and, if asked, published curves.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from .curves import Measured, Point, by_set, mean_curves, read_rows
from .published import Published, add_published_arguments, published_of

# aec in the one strong colour; the JPEGs are shades of one hue, because they are one format.
STYLES = {
    "aec": {"color": "#d6336c", "marker": "o", "linewidth": 2.4, "zorder": 5},
    "aec-e1": {"color": "#e893af", "marker": "o"},
    "jpeg": {"color": "#1c5d99", "marker": "s"},
    "jpeg-opt": {"color": "#4f94cd", "marker": "v"},
    "jpeg-444": {"color": "#8fbce0", "marker": "^"},
    "webp": {"color": "#2f9e44", "marker": "D"},
    "avif": {"color": "#e8890c", "marker": "P"},
    "avif-psnr": {"color": "#f2b84b", "marker": "X"},
    "avif-speed0": {"color": "#b35c00", "marker": "p"},
    "heic": {"color": "#6741d9", "marker": "<"},
    "heic-psnr": {"color": "#a78bfa", "marker": ">"},
}
PUBLISHED_COLORS = ("#495057", "#868e96", "#7048a8", "#8a6d3b", "#0b7285", "#a61e4d", "#5c940d")


def draw(csv_path: Path, png_path: Path, published: Published | None = None) -> None:
    """Draw the mean curves of an rd.csv, a panel for each set, and published ones dashed and thin.

    Args:
        csv_path: written by rd.py.
        png_path: replaced.

    Raises:
        OSError: a file cannot be read or written.
        ValueError: the CSV has no point to draw.
    """
    # Figure without pyplot: no global state, no display, and the caller's backend stays as it is.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = []
    for name, rows in by_set(read_rows(csv_path)).items():
        curves, images, _ = mean_curves(rows)
        measured = {codec: points for codec, points in curves.items() if points}
        if measured:
            panels.append((name, len(images), measured))
    if not panels:
        raise ValueError(f"{csv_path}: no mean point to draw")

    figure = Figure(figsize=(8, 5.4 * len(panels)), dpi=150, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    for axes, (name, n_images, measured) in zip(figure.subplots(len(panels), squeeze=False).flat, panels, strict=True):
        axes.set_title(f"{name}: mean of {n_images} image{'s' if n_images != 1 else ''}", loc="left", fontsize=11)
        _draw_set(axes, measured, published.on(name) if published else {})
    figure.savefig(png_path, format="png", dpi=150)


def _draw_set(axes, measured: dict[str, list[Measured]], published: dict[str, list[Point]]) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    for name, points in measured.items():
        style = {"linewidth": 1.6, "markersize": 4, **STYLES.get(name, {})}
        axes.plot([p.bpp for p in points], [p.psnr for p in points], label=name, **style)
    legend = {"frameon": False, "fontsize": 9}
    axes.add_artist(axes.legend(loc="upper left", **legend))

    # Published curves often run far past ours; they must not squeeze the part that is compared.
    x_low, x_high = axes.get_xlim()
    x_low = max(x_low, min(p.bpp for points in measured.values() for p in points) / 1.1)
    y_low, y_high = axes.get_ylim()
    drawn = []
    for i, (name, points) in enumerate(published.items()):
        style = {"color": PUBLISHED_COLORS[i % len(PUBLISHED_COLORS)], "linewidth": 1.0, "zorder": 1}
        drawn += axes.plot([p.bpp for p in points], [p.psnr for p in points], "--", label=name, **style)

    axes.set_xscale("log")
    axes.set_xlim(x_low, x_high)
    axes.set_ylim(y_low, y_high)
    ticks = [m * 10.0**e for e in range(-4, 3) for m in (1, 1.5, 2, 3, 5, 7)]
    axes.xaxis.set_major_locator(FixedLocator([t for t in ticks if x_low <= t <= x_high]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("bits per pixel (bytes of the file, log scale)")
    axes.set_ylabel("PSNR, RGB (dB)")
    axes.grid(True, color="#e9ecef", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#adb5bd")
    axes.tick_params(color="#adb5bd", labelsize=9)
    axes.legend(handles=drawn, loc="lower right", title="published" if drawn else None, alignment="left", **legend)


def main(argv: Sequence[str] | None = None) -> int:
    """`python -m bench.plot rd.csv -o rd.png`: draw again without measuring again."""
    p = argparse.ArgumentParser(prog="python -m bench.plot", description="Draw the curves of an rd.csv.")
    p.add_argument("csv", type=Path)
    p.add_argument("-o", dest="out", type=Path, required=True, metavar="PNG")
    add_published_arguments(p)
    args = p.parse_args(argv)
    try:
        sets = list(by_set(read_rows(args.csv)))
        draw(args.csv, args.out, published_of(args, sets))
    except (OSError, ValueError, KeyError) as error:
        print(f"aec: {args.csv}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
