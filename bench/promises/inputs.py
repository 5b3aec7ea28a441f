"""Any picture comes back in its size and upright, with alpha and profile, and takes no more bytes than before."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps

import codec

from .check import Check, Extent, Measured, aec, tests
from .pictures import photo

MOST_MORE = 64  # bytes more than the input's that a file may take
PRIMES = ((2, 3), (5, 7), (11, 13), (17, 19), (23, 29), (31, 37), (41, 43), (47, 53), (59, 61), (67, 71), (127, 131))


def sizes(extent: Extent) -> Measured:
    all_of_them = [(height, width) for height in range(1, 66) for width in range(1, 66)]
    chosen = extent.of(all_of_them[::7] + list(PRIMES), all_of_them + list(PRIMES))
    wrong, big = 0, photo(140, 140, 3)
    for i, (height, width) in enumerate(chosen):
        image = big[i % 9 :, i % 7 :][:height, :width].copy()
        for lossless in (False, True):
            out = codec.decode(codec.encode(image, None if lossless else 40, "cpu", lossless=lossless), output="numpy")
            wrong += out.shape != image.shape or lossless and not np.array_equal(out, image)
    return Measured(f"{len(chosen)} sizes, lossy and exact: {wrong} came back otherwise", wrong == 0)


MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "16-bit RGB")


def _of_mode(mode: str) -> tuple[object, np.ndarray]:
    """(a picture, the samples that must come back without loss)."""
    base = photo(37, 53, 5)
    if mode == "16-bit RGB":
        deep = base.astype(np.uint16) * 257
        return deep, deep
    if mode == "I;16":
        deep = base[..., 0].astype(np.uint16) * 257
        return Image.fromarray(deep), deep
    image = Image.fromarray(base)
    if mode in ("LA", "RGBA"):
        image = image.convert(mode)
        image.putalpha(Image.fromarray(np.tile(np.arange(53, dtype=np.uint8) * 4, (37, 1))))
    else:
        image = image.convert(mode)
    plain = image.convert({"1": "L", "P": "RGB", "CMYK": "RGB"}.get(mode, mode))
    return image, np.asarray(plain)


def modes(extent: Extent) -> Measured:
    """Every mode exactly; alpha exactly in lossy files too; profiles byte for byte."""
    wrong, n = [], 0
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for mode in MODES:
        image, expected = _of_mode(mode)
        out = codec.decode(codec.encode(image, lossless=True), output="numpy")
        same = np.array_equal(out.squeeze(), expected)
        if mode in ("LA", "RGBA"):
            lossy = codec.decode(codec.encode(image, 30, "cpu"), output="numpy")
            same &= np.array_equal(lossy[..., -1], expected[..., -1])
        if isinstance(image, Image.Image) and mode != "CMYK":
            image.info["icc_profile"] = profile
            for options in ({"lossless": True}, {"quality": 30}):
                same &= codec.read_metadata(codec.encode(image, device="cpu", **options)).icc == profile
        n += 1
        wrong += [] if same else [mode]
    return Measured(f"{n} modes: {len(wrong)} came back otherwise {' '.join(wrong)}".strip(), not wrong)


def orientations(extent: Extent) -> Measured:
    right, image = 0, Image.fromarray(photo(31, 47, 6))
    with tempfile.TemporaryDirectory() as name:
        for orientation in range(1, 9):
            exif = Image.Exif()
            exif[0x0112] = orientation
            source, packed, back = (Path(name) / f"{orientation}{end}" for end in (".png", ".aec", ".back.png"))
            image.save(source, exif=exif)
            aec("compress", "--lossless", source, "-o", packed)
            aec("decompress", packed, "-o", back)
            upright = ImageOps.exif_transpose(Image.open(source))
            with Image.open(back) as made:
                right += np.array_equal(np.asarray(made), np.asarray(upright)) and made.getexif().get(0x0112, 1) == 1
    return Measured(f"{right} of 8 orientations upright, and told once", right == 8)


def _small_file(i: int) -> tuple[str, bytes]:
    """(suffix, bytes) of a picture file that a codec easily makes larger."""
    rng, kind = np.random.default_rng(i), i % 6
    side = int(rng.integers(1, 90))
    form, options = "PNG", {}
    if kind == 0:
        image = rng.integers(0, 256, (side, side, 3), np.uint8)
    elif kind == 1:
        image = np.full((side, side + 3, 3), rng.integers(0, 256, 3), np.uint8)
    elif kind == 2:  # an icon: a few colours and alpha
        image = rng.integers(0, 2, (16, 16, 4), np.uint8).repeat(2, 0).repeat(2, 1) * 255
    elif kind == 3:  # as a screen shows text
        image = np.full((side + 20, side + 40, 3), 250, np.uint8)
        image[4:-4:5, 3:-3] = rng.integers(0, 2, image[4:-4:5, 3:-3].shape[:2], np.uint8)[..., None] * 200
    elif kind == 4:
        image, form, options = photo(side + 8, side + 16, i), "JPEG", {"quality": int(rng.integers(5, 60))}
    else:
        image, form, options = photo(side, side, i), "WEBP", {"quality": int(rng.integers(5, 60))}
    file = io.BytesIO()
    picture = Image.fromarray(image)
    if kind in (1, 2) and rng.integers(2):
        picture = picture.convert("P")
    picture.save(file, form, **options)
    return form.lower(), file.getvalue()


def never_larger(extent: Extent) -> Measured:
    n = extent.of(60, 500)
    with tempfile.TemporaryDirectory() as name:
        source, out = Path(name) / "in", Path(name) / "out"
        source.mkdir()
        before = {}
        for i in range(n):
            suffix, data = _small_file(i)
            (source / f"{i:04}.{suffix}").write_bytes(data)
            before[f"{i:04}"] = len(data)
        done = aec("compress", source, "-o", out, "-q", "90", "--quiet")
        made = {path.stem.partition(".")[0]: path.stat().st_size for path in out.glob("*.aec")}
    more = [made[key] - before[key] for key in made]
    missing = n - len(made)
    figure = f"{n} files: at most {max(more)} bytes more, {sum(m > 0 for m in more)} larger, {missing} missing"
    return Measured(figure, done.returncode == 0 and not missing and max(more) <= MOST_MORE)


ANY = "test_any_picture.py::test_any_picture_comes_back"
CHECKS = [
    Check(15, "sizes of 1x1 to 65x65, and primes", sizes),
    Check(15, "modes, alpha and profiles", modes),
    Check(15, "orientations, by way of files", orientations),
    Check(15, "random pictures of all kinds (hypothesis)", tests(ANY)),
    Check(16, "noise, flat pictures, icons, screens, small JPEG and WebP files", never_larger),
]
