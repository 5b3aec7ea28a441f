"""rd.csv -> rd.png: mean PSNR over mean bits per pixel. Reads nothing but the CSV and, if asked, published curves."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from .summary import mean_curves, read_rows

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
}
ANCHOR_COLORS = ("#495057", "#868e96", "#7048a8", "#8a6d3b", "#0b7285", "#a61e4d")


def read_anchors(path: Path, names: Sequence[str]) -> dict[str, tuple[list[float], list[float]]]:
    """Published curves: {name: {"bpp": [...], "psnr": [...]}} as JSON.

    Args:
        names: which to take; each must be there and have PSNRs.

    Returns:
        name -> (bpp, psnr), both of one length.

    Raises:
        OSError: the file cannot be read.
        ValueError: not JSON of that form, or a name is not in it.
    """
    curves = json.loads(Path(path).read_text(encoding="utf-8"))
    if not isinstance(curves, dict):
        raise ValueError(f"{path}: expected an object of curves, found {type(curves).__name__}")
    taken = {}
    for name in names:
        entry = curves.get(name)
        if not isinstance(entry, dict) or "bpp" not in entry or "psnr" not in entry:
            known = ", ".join(k for k, v in curves.items() if isinstance(v, dict) and "psnr" in v)
            raise ValueError(f"{path}: no PSNR curve {name!r}; there are: {known}")
        if len(entry["bpp"]) != len(entry["psnr"]):
            raise ValueError(f"{path}: {name}: {len(entry['bpp'])} rates but {len(entry['psnr'])} PSNRs")
        taken[name] = (entry["bpp"], entry["psnr"])
    return taken


def draw(csv_path: Path, png_path: Path, anchors: Path | None = None, anchor_names: Sequence[str] = ()) -> None:
    """Draw the mean curves of an rd.csv, and published ones dashed and thin.

    Args:
        csv_path: written by rd.py.
        png_path: replaced.
        anchors: JSON as for `read_anchors`; None: no published curves.

    Raises:
        OSError, ValueError: as `read_anchors`; ValueError too if the CSV has no point to draw.
    """
    # Figure without pyplot: no global state, no display, and the caller's backend stays as it is.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    curves, images, _ = mean_curves(read_rows(csv_path))
    measured = {name: points for name, points in curves.items() if points}
    if not measured:
        raise ValueError(f"{csv_path}: no mean point to draw")

    figure = Figure(figsize=(8, 5.4), dpi=150, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for name, points in measured.items():
        style = {"linewidth": 1.6, "markersize": 4, **STYLES.get(name, {})}
        axes.plot([p.bpp for p in points], [p.psnr for p in points], label=name, **style)

    # Published curves often run far past ours; they must not squeeze the part that is compared.
    x_low, x_high = axes.get_xlim()
    x_low = max(x_low, min(p.bpp for points in measured.values() for p in points) / 1.1)
    y_low, y_high = axes.get_ylim()
    published = read_anchors(anchors, anchor_names) if anchors is not None else {}
    for i, (name, (bpp, psnr)) in enumerate(published.items()):
        color = ANCHOR_COLORS[i % len(ANCHOR_COLORS)]
        axes.plot(bpp, psnr, "--", color=color, linewidth=1.0, zorder=1, label=f"{name} (published)")

    axes.set_xscale("log")
    axes.set_xlim(x_low, x_high)
    axes.set_ylim(y_low, y_high)
    ticks = [m * 10.0**e for e in range(-4, 3) for m in (1, 1.5, 2, 3, 5, 7)]
    axes.xaxis.set_major_locator(FixedLocator([t for t in ticks if x_low <= t <= x_high]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("bits per pixel (bytes of the file, log scale)")
    axes.set_ylabel("PSNR, RGB (dB)")
    axes.set_title(f"Mean of {len(images)} image{'s' if len(images) != 1 else ''}", loc="left", fontsize=11)
    axes.grid(True, color="#e9ecef", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#adb5bd")
    axes.tick_params(color="#adb5bd", labelsize=9)
    axes.legend(frameon=False, fontsize=9, loc="upper left")
    figure.savefig(png_path, format="png", dpi=150)


def main(argv: Sequence[str] | None = None) -> int:
    """`python -m bench.plot rd.csv -o rd.png`: draw again without measuring again."""
    p = argparse.ArgumentParser(prog="python -m bench.plot", description="Draw the curves of an rd.csv.")
    p.add_argument("csv", type=Path)
    p.add_argument("-o", dest="out", type=Path, required=True, metavar="PNG")
    p.add_argument("--anchors", type=Path, default=None, metavar="FILE", help="JSON of published curves")
    p.add_argument("--anchor-names", default="", metavar="LIST", help="which of them")
    args = p.parse_args(argv)
    try:
        draw(args.csv, args.out, args.anchors, [name for name in args.anchor_names.split(",") if name])
    except (OSError, ValueError, KeyError) as error:
        print(f"aec: {args.csv}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
