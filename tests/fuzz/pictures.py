"""The first pictures and blocks of metadata that `targets` are given, all of them sound and small."""

import io
import struct
import zlib

import numpy as np
import tiffs
from PIL import Image, ImageCms

from codec.picture import png_chunks, samples16

EXIF = bytes.fromhex("49492a0008000000010012010300010000000600000000000000")  # orientation 6
# With a directory of the camera's, and a thumbnail in a second one.
LONG_EXIF = (
    b"MM\0*\0\0\0\x08\0\x03\x01\x0f\0\x02\0\0\0\x04aec\0\x01\x12\0\x03\0\0\0\x01\0\x08\0\0\x87\x69\0\x04\0\0\0\x01\0\0\0\x32"
    b"\0\0\0\x44\0\x01\x82\x9a\0\x05\0\0\0\x01\0\0\0\x62\0\0\0\0\0\x02\x02\x01\0\x04\0\0\0\x01\0\0\0\x6a\x02\x02\0\x04\0\0\0\x01"
    b"\0\0\0\x04\0\0\0\0\0\0\0\x01\0\0\0\x3c\xff\xd8\xff\xd9"
)
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description tiff:Orientation="3" xmpNote:HasExtendedXMP="0123456789ABCDEF0123456789ABCDEF"/>'
    b"</rdf:RDF></x:xmpmeta>"
)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def picture(height: int, width: int) -> np.ndarray:
    """uint8 [H, W, 4]: smooth, but for some noise; half of alpha is opaque."""
    rng = np.random.default_rng(1)
    ramp = np.add.outer(np.arange(height) * 5, np.arange(width) * 3)[..., None] * (1, 2, 3, 9) + 40
    return (ramp + rng.integers(0, 9, ramp.shape)).clip(0, 255).astype(np.uint8)


def saved(mode: str, kind: str, size: tuple[int, int] = (17, 11), **options) -> bytes:
    """A file as Pillow writes it, of height and width."""
    file = io.BytesIO()
    image = Image.fromarray(picture(*size))
    if mode == "I;16":
        image = Image.fromarray(picture(*size)[..., 0].astype(np.uint16) * 250)
    elif mode == "P":
        image = image.convert("RGB").quantize(16)
    else:
        image = image.convert(mode)
    image.save(file, kind, **options)
    return file.getvalue()


def _pngs() -> list[bytes]:
    files = [saved(mode, "PNG") for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")]
    files += [saved("L", "PNG", transparency=40), saved("RGB", "PNG", transparency=(40, 80, 120))]
    files += [saved("P", "PNG", transparency=3), saved("P", "PNG", bits=4), saved("P", "PNG", bits=2)]
    files.append(saved("RGB", "PNG", exif=b"Exif\0\0" + EXIF, icc_profile=SRGB))
    first = Image.fromarray(picture(9, 9))
    animation = io.BytesIO()
    first.save(animation, "PNG", save_all=True, append_images=[first.rotate(90)])
    files.append(animation.getvalue())
    deep = picture(6, 7).astype(np.uint16) * 257
    files += [samples16.write_png(deep[..., :n]) for n in (2, 3, 4)]
    for depth, colour_type, n in ((8, 2, 216), (16, 6, 528), (1, 0, 22)):  # interlaced, and black
        head = struct.pack(">IIBBBBB", 8, 8, depth, colour_type, 0, 0, 1)
        chunks = ((b"IHDR", head), (b"tRNS", bytes(6)) if colour_type == 2 else (b"tEXt", b"a\0b"))
        files.append(
            png_chunks.SIGNATURE
            + b"".join(png_chunks.chunk(*c) for c in (*chunks, (b"IDAT", zlib.compress(bytes(n))), (b"IEND", b"")))
        )
    return files


def _jpegs() -> list[bytes]:
    files = [saved(mode, "JPEG", quality=70) for mode in ("L", "RGB", "CMYK")]
    files += [saved("RGB", "JPEG", progressive=True), saved("RGB", "JPEG", size=(40, 40), restart_marker_blocks=2)]
    files += [saved("RGB", "JPEG", exif=b"Exif\0\0" + LONG_EXIF, comment=b"of nothing"), saved("RGB", "MPO")]
    files.append(saved("CMYK", "JPEG", icc_profile=SRGB, dpi=(72, 72)))
    return files


def _webps() -> list[bytes]:
    files = [saved("RGB", "WEBP", quality=50), saved("RGBA", "WEBP", quality=50), saved("L", "WEBP", lossless=True)]
    files += [saved("RGBA", "WEBP", lossless=True), saved("RGB", "WEBP", exif=EXIF, xmp=XMP, icc_profile=SRGB)]
    first = Image.fromarray(picture(9, 9))
    animation = io.BytesIO()
    first.save(animation, "WEBP", save_all=True, append_images=[first.rotate(90)])
    return [*files, animation.getvalue()]


def _tiffs() -> list[bytes]:
    options = [("RGB", c) for c in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "zstd", "lzma")]
    options += [("1", "group4"), ("1", "group3"), ("CMYK", "raw"), ("LAB", "raw"), ("YCbCr", "raw"), ("P", "raw")]
    options += [("RGBA", "tiff_lzw"), ("LA", "raw"), ("I;16", "raw"), ("CMYK", "jpeg"), ("L", "jpeg")]
    image = Image.fromarray(picture(17, 11)).convert("RGB")
    files = []
    for mode, compression in options:
        if mode == "LAB":
            file = io.BytesIO()
            profile = ImageCms.createProfile
            ImageCms.profileToProfile(image, profile("sRGB"), profile("LAB"), outputMode="LAB").save(file, "TIFF")
            files.append(file.getvalue())
        else:
            files.append(saved(mode, "TIFF", compression=compression))
    values = picture(9, 10)
    twelve = values.astype(np.uint16) * 16
    pictures = [
        tiffs.picture(values[..., :3], 8, 2, planar=2, rows=4),
        tiffs.picture(values, 8, 2, extra=1, compression=tiffs.DEFLATE, predictor=2),
        tiffs.picture(values, 8, 2, extra=2, tile=(16, 16), compression=tiffs.LZW),
        tiffs.picture(values, 8, 5, more={34675: (7, list(SRGB[:100]))}),
        tiffs.picture(twelve[..., :1], 12, 0, order=">"),
        tiffs.picture(twelve[..., :3], 16, 2, order=">", predictor=2, compression=tiffs.DEFLATE, planar=2),
        tiffs.picture(values[..., :1] >> 6, 2, 1, fill=2),
        tiffs.picture(values[..., :1] >> 4, 4, 3, more={320: (3, list(range(0, 48 * 999, 999)))}),
        tiffs.picture(values[..., :3], 8, 6, more={530: (3, [1, 1]), 274: (3, [6])}),
        tiffs.picture(values[..., :1], 8, 1, more={301: (3, list(range(0, 65536, 256))), 318: (5, [3, 10, 3, 10])}),
    ]
    files += [tiffs.file(directory) for directory in pictures[::2]]
    files += [tiffs.file(directory, order=">", big=True) for directory in (pictures[4], pictures[5])]
    files += [tiffs.file(directory) for directory in pictures[1::2] if directory is not pictures[5]]
    reduced = {**pictures[6], 254: (4, [1])}
    files += [tiffs.file(reduced, pictures[0]), tiffs.file(reduced, subs=(pictures[0],))]
    return files


def _others() -> list[bytes]:
    modes = {
        "BMP": ("1", "L", "P", "RGB", "RGBA"),
        "GIF": ("L", "P"),
        "TGA": ("L", "LA", "P", "RGB", "RGBA"),
        "PPM": ("1", "L", "I;16", "RGB"),
        "JPEG2000": ("L", "RGB", "RGBA", "I;16"),
        "AVIF": ("RGB", "RGBA"),
        "ICO": ("RGBA",),
        "QOI": ("RGB", "RGBA"),
        "PCX": ("1", "L", "P", "RGB"),
        "SGI": ("L", "RGB", "RGBA"),
        "DDS": ("L", "RGB", "RGBA"),
        "IM": ("L", "RGB"),
        "XBM": ("1",),
        "MSP": ("1",),
        "SPIDER": ("F",),
        "DIB": ("RGB",),
    }
    files = [saved(mode, kind) for kind, some in modes.items() for mode in some]
    files += [saved("RGB", "TGA", compression="tga_rle"), saved("P", "GIF", transparency=2, interlace=1)]
    files += [saved("RGB", "AVIF", exif=EXIF, xmp=XMP, icc_profile=SRGB), b"P3 2 1 15 0 5 10 15 1 2", b"P1 2 2 1 0 0 1"]
    first = Image.fromarray(picture(9, 9)).convert("P")
    animation = io.BytesIO()
    first.save(animation, "GIF", save_all=True, append_images=[first.rotate(90)])
    # BMP with a profile of its own: what Pillow does not write.
    head = struct.pack("<IiiHHIIiiII", 124, 3, 2, 1, 24, 0, 24, 0, 0, 0, 0).ljust(124, b"\0")
    head = head[:56] + b"MBED"[::-1] + head[60:112] + struct.pack("<III", 148, 9, 0)
    bmp = b"BM" + struct.pack("<IHHI", 171, 0, 0, 138) + head + bytes(24) + b"a profile"
    tga = saved("RGBA", "TGA")
    area = bytes(494) + b"\x04"  # the last byte says that colours are multiplied by alpha
    tga = tga[:-26] + area + struct.pack("<II", len(tga) - 26, 0) + tga[-18:]
    return [*files, animation.getvalue(), bmp, tga]


def files() -> list[bytes]:
    """Of all kinds that people hand in."""
    return [*_pngs(), *_jpegs(), *_webps(), *_tiffs(), *_others()]
