"""Rate over distortion for small pictures: `python -m bench.family_curves FOLDER` after `python -m bench.family`.

For each data set: the members that FOLDER has, principal components with the same quantiser and coder, the shipped
models, and PNG, WebP, JPEG and AVIF, each picture a file; AVIF and JPEG also with all pictures in one sheet, because
their headers are larger than such pictures. Writes curves.md (bits at equal squared error) and a plot for each set.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import codec
from codec.family.linear import Linear
from codec.train import small_export
from codec.train.family_command import mean_squared_error

from . import family_data
from .family_figures import pca
from .machine import machine_line

COUNT = 500  # test pictures of each set
COMPONENTS = 128
QUALITIES = (10, 30, 50, 70, 80, 90, 100)
TARGETS = (0.02, 0.01, 0.005, 0.002)  # squared errors at which bits are compared
SETS = ("mnist", "fashion-mnist", "cifar10", "solar")
OTHERS = ("PNG", "WebP", "JPEG", "AVIF", "aec")  # how the names of codecs begin that are not of the family
Curve = list[tuple[float, float]]  # (bytes of a picture, squared error)


def of_model(path: Path, pictures: np.ndarray) -> Curve:
    """The curve of a model for collections: all pictures in one file, at each of its ten levels."""
    curve = []
    for quality in range(10, 101, 10):
        data = codec.encode_collection(pictures, path, quality)
        made = codec.open_collection(data, path).decode().reshape(pictures.shape)
        curve.append((len(data) / len(pictures), mean_squared_error(made, pictures)))
    return curve


def principal_components(train: np.ndarray, path: Path) -> Path:
    """Write a model whose nets are the principal components of the training pictures."""
    height, width, channels = train.shape[1:]
    count = min(COMPONENTS, height * width * channels)
    components, average = pca(train, count)
    basis = torch.from_numpy(np.ascontiguousarray(components)).float()
    mean = torch.from_numpy(average).float()
    member = Linear((channels, height, width), count)
    with torch.no_grad():
        member.encoder[1].weight.copy_(basis.T)
        member.encoder[1].bias.copy_(-basis.T @ mean)
        member.decoder[0].weight.copy_(basis)
        member.decoder[0].bias.copy_(mean)
    small_export.save(path, member, "pca", train)
    return path


def of_files(pictures: np.ndarray, form: str, **options: object) -> tuple[float, float]:
    """Mean bytes and squared error with each picture in a file of its own."""
    n_bytes, made = 0, []
    for picture in pictures:
        data = _saved(picture, form, options)
        n_bytes += len(data)
        made.append(_read(data, picture.shape))
    return n_bytes / len(pictures), mean_squared_error(np.stack(made), pictures)


def of_sheet(pictures: np.ndarray, form: str, **options: object) -> tuple[float, float]:
    """The same with all pictures side by side in one file, without gaps."""
    n, height, width, channels = pictures.shape
    across = int(np.ceil(n**0.5))
    whole = np.zeros((-(-n // across) * across, height, width, channels), np.uint8)
    whole[:n] = pictures
    sheet = whole.reshape(-1, across, height, width, channels).swapaxes(1, 2).reshape(-1, across * width, channels)
    data = _saved(sheet, form, options)
    made = _read(data, sheet.shape).reshape(-1, height, across, width, channels).swapaxes(1, 2)
    return len(data) / n, mean_squared_error(made.reshape(-1, height, width, channels)[:n], pictures)


def _saved(picture: np.ndarray, form: str, options: dict) -> bytes:
    out = io.BytesIO()
    Image.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture).save(out, form, **options)
    return out.getvalue()


def _read(data: bytes, shape: tuple[int, ...]) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("L" if shape[2] == 1 else "RGB")).reshape(shape)


def of_shipped(pictures: np.ndarray, model: str) -> Curve:
    curve = []
    for quality in (20, 50, 75, 90):
        files = [codec.encode(picture, quality, model=model, source=None) for picture in pictures]
        made = np.stack([codec.decode(data, output="numpy").reshape(pictures.shape[1:]) for data in files])
        curve.append((sum(map(len, files)) / len(files), mean_squared_error(made, pictures)))
    return curve


def curves(name: str, folder: Path) -> dict[str, Curve]:
    """All curves of a data set, by the name of the codec."""
    train, test = family_data.read(name)
    pictures = test.pictures[:: max(1, len(test.pictures) // COUNT)][:COUNT]
    found: dict[str, Curve] = {}
    for member, facts in json.loads((folder / "family.json").read_text()).items():
        if facts["data"] == name:
            found[member] = of_model(folder / f"{member}.safetensors", pictures)
    found["PCA"] = of_model(principal_components(train.pictures, folder / f"pca-{name}.safetensors"), pictures)

    def lossy(make: Callable[..., tuple[float, float]], form: str, **more: object) -> Curve:
        return [make(pictures, form, quality=quality, **more) for quality in QUALITIES]

    found |= {
        "PNG": [of_files(pictures, "PNG", optimize=True)],
        "WebP lossless": [of_files(pictures, "WEBP", lossless=True, method=6)],
        "WebP": lossy(of_files, "WEBP", method=6),
        "JPEG": lossy(of_files, "JPEG", optimize=True),
        "JPEG, one sheet": lossy(of_sheet, "JPEG", optimize=True),
        "AVIF": lossy(of_files, "AVIF"),
        "AVIF, one sheet": lossy(of_sheet, "AVIF"),
        "aec, model psnr": of_shipped(pictures[::5], "psnr"),
    }
    return found


def bits_at(curve: Curve, error: float) -> float | None:
    """Bits of a picture at a squared error, between the points of a curve in log scale; None if out of its range."""
    points = sorted((e, b) for b, e in curve)
    errors, n_bytes = (np.array(v) for v in zip(*points, strict=True))
    if not errors[0] <= error <= errors[-1]:
        return None
    return float(8 * np.exp(np.interp(np.log(error), np.log(errors.clip(1e-9)), np.log(n_bytes))))


def page(results: dict[str, dict[str, Curve]], machine: str) -> str:
    lines = ["# Bits of a small picture at equal squared error", "", f"`python -m bench.family_curves`; {machine}", ""]
    lines += [
        f"{COUNT} pictures, evenly spread over each test set; of the model psnr every fifth of them. A dash: no two",
        "measured points have this error between them.",
    ]
    for name, found in results.items():
        lines += ["", f"## {name}", "", f"| codec | {' | '.join(f'MSE {t:g}' for t in TARGETS)} |", "|---" * 5 + "|"]
        for label, curve in found.items():
            if len(curve) == 1:
                lines.append(f"| {label} | exact: {8 * curve[0][0]:.0f} bits | | | |")
                continue
            values = [bits_at(curve, target) for target in TARGETS]
            lines.append(f"| {label} | {' | '.join('-' if v is None else f'{v:.0f}' for v in values)} |")
    return "\n".join([*lines, ""])


def plot(name: str, found: dict[str, Curve], path: Path) -> None:
    """Plot all curves. Members that others beat at every rate are gray, for there are too many of them for colours."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 6), dpi=120, layout="constrained", facecolor="white")
    axes = figure.subplots()
    ours = {label: curve for label, curve in found.items() if not label.startswith(OTHERS)}
    beaten = {label for label in ours if _is_beaten(label, ours)}
    for label, curve in found.items():
        if len(curve) > 1:
            bits, errors = zip(*((8 * b, max(e, 1e-6)) for b, e in curve), strict=True)
            if label in beaten:
                axes.plot(bits, errors, "-", color="0.8", lw=1, zorder=1)
            else:
                axes.plot(bits, errors, "-o" if label in ours else "--", ms=3, label=label)
    if beaten:
        axes.plot([], [], "-", color="0.8", lw=1, label=f"{len(beaten)} other members")
    axes.set(xscale="log", yscale="log", xlabel="bits a picture", ylabel="mean squared error (white is 1)", title=name)
    axes.grid(True, which="both", alpha=0.25)
    axes.legend(fontsize=8)
    figure.savefig(path)


def _is_beaten(label: str, ours: dict[str, Curve]) -> bool:
    """Return whether each point of a curve has another curve's point with no more bytes and no more error."""
    others = [point for name, curve in ours.items() if name != label for point in curve]
    return all(any(b <= n_bytes and e <= error for b, e in others) for n_bytes, error in ours[label])


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.family_curves", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="of python -m bench.family")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS)
    args = parser.parse_args(argv)
    results = {}
    for name in args.sets:
        results[name] = curves(name, args.folder)
        plot(name, results[name], args.folder / f"curves-{name}.png")
        (args.folder / "curves.md").write_text(page(results, machine_line(with_gpu=False)))
        print(name, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
