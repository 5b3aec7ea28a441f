"""The codecs that `bench` compares, with every setting spelled out.

One function per codec makes a `Codec`; `make_codecs` lists them. `encode` takes pixels and returns the whole file.
"""

from __future__ import annotations

import importlib.metadata
import io
import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, features
from PIL import __version__ as pillow_version

JPEG_QUALITIES = (5, 10, 20, 30, 40, 50, 60, 70, 75, 80, 85, 90, 95)
AVIF_QUALITIES = (10, 20, 30, 40, 50, 60, 70, 80, 90)


@dataclass(frozen=True)
class Codec:
    """One codec at fixed settings; only the quality varies."""

    name: str
    qualities: tuple[int, ...]  # in rising order; what is measured unless the user says otherwise
    settings: str  # goes into the CSV: enough to repeat the run
    encode: Callable[[np.ndarray, int], bytes]  # ([H, W, 3] uint8, quality) -> the file's bytes
    decode: Callable[[bytes], np.ndarray]  # -> [H, W, 3] uint8
    version: Callable[[], str]
    threads: Callable[[], int]  # how many the codec may use
    missing: Callable[[], str | None]  # why it cannot run here, or None


def make_codecs(device: str = "auto", model: str | None = None) -> dict[str, Codec]:
    """All codecs by name; `device` and `model` are aec's. Imports neither torch nor codec."""
    return {
        "aec": aec(device, model),
        **{f"aec-e{effort}": aec(device, model, effort) for effort in (1, 3, 5, 7, 9)},
        "jpeg": jpeg(),
        "jpeg-opt": jpeg_opt(),
        "jpeg-444": jpeg_444(),
        "webp": webp(),
        "avif": avif(),
        "avif-psnr": avif_psnr(),
        "avif-speed0": avif_speed0(),
        "heic": heic(),
        "heic-psnr": heic_psnr(),
    }


def aec(device: str, model: str | None, effort: int | None = None) -> Codec:
    """`effort`: None is the default one."""
    options = {} if effort is None else {"effort": effort}

    def encode(image: np.ndarray, quality: int) -> bytes:
        import codec

        return codec.encode(image, quality=quality, device=device, model=model, **options)

    def decode(data: bytes) -> np.ndarray:
        import codec

        return _rgb(codec.decode(data, device=device, model=model))

    def version() -> str:
        try:
            return f"aec {importlib.metadata.version('aec-codec')}"
        except importlib.metadata.PackageNotFoundError:
            return "aec, not installed"  # run from the tree: the commit column says which

    def threads() -> int:
        import torch

        return torch.get_num_threads()

    def missing() -> str | None:
        try:
            from codec import decode, encode  # noqa: F401
        except ImportError as error:
            return f"aec does not import: {error}"
        return None

    return Codec(
        name="aec" if effort is None else f"aec-e{effort}",
        qualities=(1, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100),
        settings=f"device={device} model={model or 'default'} effort={effort or 'default'}",
        encode=encode,
        decode=decode,
        version=version,
        threads=threads,
        missing=missing,
    )


def jpeg() -> Codec:
    """What `image.save("x.jpg", quality=q)` does."""
    return _pillow("jpeg", "JPEG", JPEG_QUALITIES, {"subsampling": "4:2:0"}, feature="jpg")


def jpeg_opt() -> Codec:
    """The same pixels in fewer bytes: Huffman tables fitted to the image, progressive scans."""
    options = {"subsampling": "4:2:0", "optimize": True, "progressive": True}
    return _pillow("jpeg-opt", "JPEG", JPEG_QUALITIES, options, feature="jpg")


def jpeg_444() -> Codec:
    return _pillow("jpeg-444", "JPEG", JPEG_QUALITIES, {"subsampling": "4:4:4"}, feature="jpg")


def webp() -> Codec:
    qualities = (1, 10, 20, 30, 40, 50, 60, 70, 80, 85, 90, 95)
    return _pillow("webp", "WEBP", qualities, {"method": 6}, feature="webp")


def avif() -> Codec:
    """libavif's own tuning, which is for the eye rather than for PSNR."""
    return _avif("avif", AVIF_QUALITIES, speed=6)


def avif_psnr() -> Codec:
    """AVIF tuned for what this bench measures: the fair rival in a plot of PSNR."""
    return _avif("avif-psnr", AVIF_QUALITIES, speed=6, advanced={"tune": "psnr"})


def avif_speed0() -> Codec:
    """All that libaom can search for. It takes up to a minute a megapixel, so only what a BD-rate here needs."""
    return _avif("avif-speed0", (10, 20, 35, 50, 60, 70), speed=0)


def _avif(name: str, qualities: tuple[int, ...], speed: int, **extra) -> Codec:
    threads = os.cpu_count() or 1
    # libavif's autotiling cuts by the number of threads: bytes would depend on the machine.
    options = {"codec": "aom", "speed": speed, "subsampling": "4:4:4", "autotiling": False, "max_threads": threads}
    return _pillow(name, "AVIF", qualities, options | extra, feature="avif", threads=threads)


def _pillow(
    name: str, form: str, qualities: tuple[int, ...], options: dict, *, feature: str, threads: int = 1
) -> Codec:
    def encode(image: np.ndarray, quality: int) -> bytes:
        out = io.BytesIO()
        Image.fromarray(image).save(out, form, quality=quality, **options)
        return out.getvalue()

    def decode(data: bytes) -> np.ndarray:
        # The format is named, so a file of another kind is an error and not quietly read.
        with Image.open(io.BytesIO(data), formats=[form]) as image:
            return _rgb(image)

    def version() -> str:
        library = features.version("libjpeg_turbo") if feature == "jpg" else features.version(feature)
        library_name = {"jpg": "libjpeg-turbo", "webp": "libwebp", "avif": "libavif"}[feature]
        return f"Pillow {pillow_version}, {library_name} {library or 'unknown'}"

    def missing() -> str | None:
        # A Pillow that does not know a feature (avif before 11.3) warns and answers False; ask only for known ones.
        if feature in features.get_supported():
            return None
        hint = " (11.3 or newer has it)" if feature == "avif" else ""
        return f"this Pillow ({pillow_version}) is built without {form}{hint}"

    return Codec(
        name=name,
        qualities=qualities,
        settings=f"{form} " + " ".join(f"{key}={value}" for key, value in options.items()),
        encode=encode,
        decode=decode,
        version=version,
        threads=lambda: threads,
        missing=missing,
    )


def heic() -> Codec:
    """What libheif makes of x265 by default, which is for the eye, but 4:4:4."""
    return _heic("heic", tune="ssim")


def heic_psnr() -> Codec:
    """HEIC tuned for what this bench measures, as `avif_psnr` is."""
    return _heic("heic-psnr", tune="psnr")


def _heic(name: str, tune: str) -> Codec:
    # The package is in the extra `bench` only: its wheels carry x265, which is under the GPL.
    # 8 bits; libheif's own matrix and range, BT.601 and full, are JPEG's, and lose nothing that PSNR would show.
    options = {"subsampling": "4:4:4", "matrix_coefficients": 6, "full_range_flag": 1}
    encoder_options = {"preset": "slow", "tune": tune}

    def encode(image: np.ndarray, quality: int) -> bytes:
        import pillow_heif

        height, width = image.shape[:2]
        out = io.BytesIO()
        # A copy of the encoder's options: pillow-heif adds to them.
        options_here = {**options, "quality": quality, "enc_params": dict(encoder_options)}
        pillow_heif.encode("RGB", (width, height), image.tobytes(), out, **options_here)
        return out.getvalue()

    def decode(data: bytes) -> np.ndarray:
        import pillow_heif

        return np.array(pillow_heif.open_heif(io.BytesIO(data)))

    def version() -> str:
        import pillow_heif

        about = pillow_heif.libheif_info()
        return f"pillow-heif {pillow_heif.__version__}, libheif {about['libheif']}, {about['HEIF']}"

    def missing() -> str | None:
        try:
            import pillow_heif
        except ImportError as error:
            return f"pillow-heif does not import: {error}"
        return None if "x265" in pillow_heif.libheif_info()["encoders"] else "this pillow-heif is built without x265"

    return Codec(
        name=name,
        qualities=(10, 20, 30, 40, 50, 60, 70, 80),
        settings="HEIC " + " ".join(f"{key}={value}" for key, value in (options | encoder_options).items()),
        encode=encode,
        decode=decode,
        version=version,
        threads=lambda: os.cpu_count() or 1,  # x265's own choice; its bytes do not depend on it
        missing=missing,
    )


def _rgb(image: Image.Image) -> np.ndarray:
    """[H, W, 3] uint8 pixels of a decoded image; gray is spread over the three channels."""
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))
