"""The codecs that aec is compared with. They are used through Pillow and its plugins, and every setting is explicit.

CompressAI is not among them, because its codecs are pretrained weights, which it downloads when they are first used.
"""

from __future__ import annotations

import importlib.metadata
import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from PIL import Image, features
from PIL import __version__ as pillow_version

from codec.coding.threads import cores

JPEG_QUALITIES = (5, 10, 20, 30, 40, 50, 60, 70, 75, 80, 85, 90, 95)
AVIF_QUALITIES = (1, 10, 20, 30, 40, 50, 60, 70, 80, 90)
LIBRARIES = {"jpg": "libjpeg-turbo", "webp": "libwebp", "avif": "libavif", "jpg_2000": "OpenJPEG"}


@dataclass(frozen=True)
class About:
    """What a measurement of a codec depends on, apart from the picture, the quality and the machine."""

    version: str
    settings: str  # enough to repeat the run
    threads: int  # how many the codec may use


@dataclass(frozen=True)
class Rival:
    """A codec without its name; the fields are those of `codecs.Codec`."""

    qualities: tuple[int, ...]
    encode: Callable[[np.ndarray, int], bytes]
    decode: Callable[[bytes], np.ndarray]
    about: Callable[[], About]
    missing: Callable[[], str | None]


def rgb(image: Image.Image) -> np.ndarray:
    """The pixels of a decoded image, uint8 [H, W, 3]. A gray image gets three equal channels."""
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def _spell(form: str, options: dict) -> str:
    """All options as text. If a value is a dict, its items are listed like the other options."""
    flat: dict = {}
    for key, value in options.items():
        flat |= value if isinstance(value, dict) else {key: value}
    return " ".join([form, *(f"{key}={value}" for key, value in flat.items())])


# ------------------------------------------------------------------------------------------------------- Pillow


def _pillow(form: str, feature: str, qualities: tuple[int, ...], options: dict, threads: int = 1) -> Rival:
    return Rival(
        qualities,
        partial(_pillow_encode, form, options),
        partial(_pillow_decode, form),
        partial(_pillow_about, form, feature, options, threads),
        partial(_pillow_missing, form, feature),
    )


def _pillow_encode(form: str, options: dict, image: np.ndarray, quality: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(image).save(out, form, quality=quality, **options)
    return out.getvalue()


def _pillow_decode(form: str, data: bytes) -> np.ndarray:
    # Pillow may only try this format, so that a file of another format raises an error.
    with Image.open(io.BytesIO(data), formats=[form]) as image:
        return rgb(image)


def _pillow_about(form: str, feature: str, options: dict, threads: int) -> About:
    library = features.version("libjpeg_turbo") if feature == "jpg" else features.version(feature)
    version = f"Pillow {pillow_version}, {LIBRARIES[feature]} {library or 'unknown'}"
    return About(version, _spell(form, options), threads)


def _pillow_missing(form: str, feature: str) -> str | None:
    # features.check would print a warning for a feature that this Pillow does not know, such as avif before 11.3.
    if feature in features.get_supported():
        return None
    hint = " (11.3 or newer has it)" if feature == "avif" else ""
    return f"this Pillow ({pillow_version}) is built without {form}{hint}"


def _jpeg(**options) -> Rival:
    return _pillow("JPEG", "jpg", JPEG_QUALITIES, options)


# --------------------------------------------------------------------------------------------------------- AVIF


def _avif(tune: str, subsampling: str = "4:4:4", qualities: tuple[int, ...] = AVIF_QUALITIES, speed: int = 6) -> Rival:
    """libaom's encoder. tune: iq (visual quality, libavif's default), or the metric: ssimulacra2, ssim or psnr."""
    threads = cores()
    # With autotiling, libavif's division into tiles and so the bytes would depend on the number of threads.
    options = {"codec": "aom", "speed": speed, "subsampling": subsampling, "autotiling": False, "max_threads": threads}
    options["advanced"] = {"tune": tune}
    pillow = _pillow("AVIF", "avif", qualities, options, threads)
    return replace(pillow, missing=partial(_avif_missing, pillow, tune))


def _avif_missing(pillow: Rival, tune: str) -> str | None:
    reason = pillow.missing()
    if reason:
        return reason
    try:
        pillow.encode(np.zeros((8, 8, 3), np.uint8), 50)
    except ValueError:  # iq needs libaom 3.12, ssimulacra2 needs 3.13
        return f"this Pillow's libaom ({pillow.about().version}) has no tune={tune}"
    return None


# ---------------------------------------------------------------------------------------------------- JPEG 2000

# By default Pillow codes R, G and B separately (mct=0), which takes 80 % more bits at equal PSNR.
JPEG2000_OPTIONS = {"irreversible": True, "mct": 1, "quality_mode": "dB"}


def _jpeg2000() -> Rival:
    """OpenJPEG's encoder. The quality is the PSNR in dB that it aims at, so that points are evenly spaced on every
    picture's curve."""
    pillow = _pillow("JPEG2000", "jpg_2000", tuple(range(22, 49, 2)), {**JPEG2000_OPTIONS, "quality_layers": "[dB]"})
    return Rival(pillow.qualities, _jpeg2000_encode, pillow.decode, pillow.about, pillow.missing)


def _jpeg2000_encode(image: np.ndarray, quality: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(image).save(out, "JPEG2000", quality_layers=[quality], **JPEG2000_OPTIONS)
    return out.getvalue()


# ------------------------------------------------------------------------------------------------------ JPEG XL

JXL_OPTIONS = {"effort": 7, "decoding_speed": 0}  # libjxl's defaults


def _jxl() -> Rival:
    """libjxl's encoder. It converts a quality to a Butteraugli distance: 90 to 1, 30 to 6.4, 5 to about 20, 1 to about
    24."""
    qualities = (1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95)
    return Rival(qualities, _jxl_encode, _jxl_decode, _jxl_about, _jxl_missing)


def _jxl_encode(image: np.ndarray, quality: int) -> bytes:
    import pillow_jxl

    height, width = image.shape[:2]
    encoder = pillow_jxl.Encoder(mode="RGB", quality=quality, num_threads=-1, **JXL_OPTIONS)
    return encoder(image.tobytes(), width, height, jpeg_encode=False)


def _jxl_decode(data: bytes) -> np.ndarray:
    import pillow_jxl  # noqa: F401  (registers the format)

    return _pillow_decode("JXL", data)


def _jxl_about() -> About:
    version = importlib.metadata.version("pillow-jxl-plugin")
    return About(f"pillow-jxl-plugin {version}", _spell("JXL", JXL_OPTIONS), cores())


def _jxl_missing() -> str | None:
    try:
        import pillow_jxl  # noqa: F401
    except ImportError as error:
        return f"pillow-jxl-plugin does not import: {error}"
    return None


# --------------------------------------------------------------------------------------------------------- HEIC

# 8 bits per sample. The colour matrix (BT.601) and the range (full) are libheif's defaults and those of JPEG; they cost
# no PSNR that could be measured.
HEIC_OPTIONS = {"subsampling": "4:4:4", "matrix_coefficients": 6, "full_range_flag": 1}


def _heic(tune: str) -> Rival:
    # Only the extra `bench` installs pillow-heif, because its wheels contain x265, which is under the GPL.
    encoder_options = {"preset": "slow", "tune": tune}
    return Rival(
        (10, 20, 30, 40, 50, 60, 70, 80),
        partial(_heic_encode, encoder_options),
        _heic_decode,
        partial(_heic_about, encoder_options),
        _heic_missing,
    )


def _heic_encode(encoder_options: dict, image: np.ndarray, quality: int) -> bytes:
    import pillow_heif

    height, width = image.shape[:2]
    out = io.BytesIO()
    # pillow-heif changes the dict of the encoder's options, so it gets a copy.
    options = {**HEIC_OPTIONS, "quality": quality, "enc_params": dict(encoder_options)}
    pillow_heif.encode("RGB", (width, height), image.tobytes(), out, **options)
    return out.getvalue()


def _heic_decode(data: bytes) -> np.ndarray:
    import pillow_heif

    return np.array(pillow_heif.open_heif(io.BytesIO(data)))


def _heic_about(encoder_options: dict) -> About:
    import pillow_heif

    found = pillow_heif.libheif_info()
    version = f"pillow-heif {pillow_heif.__version__}, libheif {found['libheif']}, {found['HEIF']}"
    # x265 uses all processors. Its output does not depend on their number.
    return About(version, _spell("HEIC", HEIC_OPTIONS | encoder_options), cores())


def _heic_missing() -> str | None:
    try:
        import pillow_heif
    except ImportError as error:
        return f"pillow-heif does not import: {error}"
    return None if "x265" in pillow_heif.libheif_info()["encoders"] else "this pillow-heif is built without x265"


RIVALS = {
    # The same as image.save("x.jpg", quality=q).
    "jpeg": _jpeg(subsampling="4:2:0"),
    # The same pixels in fewer bytes, by Huffman tables for each image and progressive scans.
    "jpeg-opt": _jpeg(subsampling="4:2:0", optimize=True, progressive=True),
    "jpeg-444": _jpeg(subsampling="4:4:4"),
    "jpeg2000": _jpeg2000(),
    "webp": _pillow("WEBP", "webp", (1, 10, 20, 30, 40, 50, 60, 70, 80, 85, 90, 95), {"method": 6}),
    "jxl": _jxl(),
    # `avif` is tuned for visual quality, which is libavif's default. The other variants are the best ones by some
    # metric. On six Kodak images avif-ss2 is best by SSIMULACRA 2 and MS-SSIM, avif-psnr by PSNR, avif-ss2-420 by
    # Butteraugli, and avif-420 by NLPD, each with 2 to 4 % fewer bits than avif. tune=ssim is best by no metric.
    "avif": _avif("iq"),
    "avif-ss2": _avif("ssimulacra2"),
    "avif-psnr": _avif("psnr"),
    # Colour at half the resolution, which is Pillow's default for AVIF.
    "avif-420": _avif("iq", "4:2:0"),
    "avif-ss2-420": _avif("ssimulacra2", "4:2:0"),
    # libaom's slowest speed, with the best compression. It takes up to a minute per megapixel, so only the qualities
    # are measured that the BD-rates need.
    "avif-speed0": _avif("iq", qualities=(10, 20, 35, 50, 60, 70), speed=0),
    # libheif's default settings of x265, which are for visual quality, but with 4:4:4.
    "heic": _heic("ssim"),
    "heic-psnr": _heic("psnr"),
}
