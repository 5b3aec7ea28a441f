"""How the golden files were made: `python tests/golden/make.py FOLDER`. Files are only ever added, never made again.

Tiny models with random weights, of two and of four context steps, stand in for trained ones: what is golden is the
format, the nets' integer arithmetic and the coder. The folder `shipped` has files of the models that people use. A
file's facts are in the .json beside it: hashes of its latents and of its samples. Only where a library decodes what is
stored, a JPEG, they may differ by a level, so that there they lie in a .png. SHA256SUMS has the hashes of all files.
"""

import io
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import codec
from codec.coding import exact, quality_map, rans, tiles
from codec.container import format
from codec.container.metadata import Metadata
from codec.nets import torch_codec
from codec.picture import code_points, stored
from codec.picture.pixels import of_bits, to_pixels
from codec.picture.sample_bits import whole_range
from codec.picture.samples import Pixels

sys.path.append(str(Path(__file__).resolve().parents[1]))
import coded  # noqa: E402

EXIF = bytes.fromhex("49492a0008000000010012010300010000000100000000000000")  # orientation 1
EXTRA = {"Plan": b"", "Data": bytes(range(200))}
# By the names of their files: those of the model that was `eye` before are called eye, and are never made again.
SHIPPED = {"eye-2": "eye", "psnr": "psnr"}
METADATA = Metadata(b"not a profile, but kept", EXIF, b"<x:xmpmeta>" + b" " * 200 + b"</x:xmpmeta>")


def picture(shape: tuple[int, ...], depth: int = 8) -> np.ndarray:
    """uint8 or uint16 [H, W] or [H, W, 2|3|4]: noisy waves; alpha is a disc with a soft edge."""
    rng = np.random.default_rng(sum(shape))
    i, j = np.mgrid[: shape[0], : shape[1]]
    waves = (120 + 70 * np.sin(i / 7 + j / 11))[..., None] * np.array([1, 0.9, 0.8, 1])[: shape[2]]
    waves = (waves + rng.normal(0, 12, shape)).clip(0, 255) / 255
    if shape[2] in (2, 4):
        waves[..., -1] = (2 - 2.5 * np.hypot(i / shape[0] - 0.4, j / shape[1] - 0.4)).clip(0, 1)
    return (waves * (2**depth - 1)).round().astype(np.uint8 if depth == 8 else np.uint16)


def files_of_networks(tiny: torch_codec.Codec) -> dict[str, bytes]:
    return {
        "1x1": coded.file(tiny, picture((1, 1, 3)), 70),
        "33x70": coded.file(tiny, picture((70, 33, 3)), 90),
        "gray-17x3": coded.file(tiny, picture((3, 17, 1))[..., 0], 40),
        "tiles-150x100": coded.file(tiny, picture((100, 150, 3)), 70, 64),
        "parts-150x100": in_parts(tiny, first=0),
        "passes-150x100": in_parts(tiny, first=3),
        "map-150x100": in_parts(tiny, first=0, roi=[((0, 0, 64, 64), 25), ((64, 64, 86, 36), -30)]),
    }


def in_parts(tiny: torch_codec.Codec, first: int, roi=()) -> bytes:
    """A file of six tiles whose payloads are in parts, although they are small."""
    pixels = to_pixels(picture((100, 150, 3)))
    header = replace(pixels.header(70, tiny.id, 64), first=first)
    quality = quality_map.applied(quality_map.differences(roi, header), 70)
    parts = tiles.encode(tiny.encoder, pixels, header, 2, quality=quality)
    mapped = quality_map.encode(quality, 70, tiny.tables) if roi else None
    header = replace(header, parts=len(parts[0]), mapped=bool(roi))
    return format.write(header, [part for same in zip(*parts, strict=True) for part in same], quality_map=mapped)


def with_lanes(tiny: torch_codec.Codec, lanes_log2: int, in_parts: bool, side: int = 64) -> bytes:
    """A file with more lanes than such small payloads get."""
    pixels, encoder = to_pixels(picture((100, 150, 3))), tiny.encoder
    header, coded = pixels.header(70, tiny.id, side), []
    for tile in header.tiles:
        chosen = encoder.quantise(70, *encoder.analyse(tiles.TileTask(pixels, tile, 70, 2)))
        symbols, indexes = (np.concatenate(each) for each in (chosen.symbols, chosen.indexes))
        segments = list(map(len, chosen.symbols))
        coded.append(rans.encode_parts(symbols, indexes, segments, tiny.tables, lanes_log2))
    header = replace(header, parts=len(coded[0]) if in_parts else 1)
    payloads = [part for same in zip(*coded, strict=True) for part in same] if in_parts else list(map(rans.join, coded))
    return format.write(header, payloads)


def other_files(tiny: torch_codec.Codec) -> dict[str, bytes]:
    """Alpha, metadata, 16 bits, and stored pictures."""
    alpha = to_pixels(picture((1, 1, 4)) // 2)
    everything = to_pixels(picture((70, 90, 2), 16))
    flat = (picture((20, 30, 3)) // 128 * 90).astype(np.uint8)
    jpeg = Image.fromarray(flat)

    def with_metadata(pixels: Pixels, metadata: Metadata = METADATA) -> Pixels:
        return Pixels(pixels.data, pixels.alpha, metadata)

    hdr = of_bits(with_metadata(to_pixels(picture((70, 33, 3), 16) >> 6), Metadata(cicp=(9, 16, 0, 1))), 10)

    return {
        "alpha-1x1": coded.file_of(tiny, with_metadata(alpha), 70),
        "alpha-tiles-150x100": coded.file(tiny, picture((100, 150, 4)), 70, 64),
        "deep-33x70": coded.file(tiny, picture((70, 33, 3), 16), 90),
        "everything-90x70": coded.file_of(tiny, with_metadata(everything), 50, 64),
        "exact-19x13": exact.file(to_pixels(picture((13, 19, 3))), 0, 64),
        "exact-alpha-tiles-70x9": exact.file(with_metadata(to_pixels(picture((9, 70, 4)))), 3, 64),
        "exact-deep-gray-11x12": exact.file(to_pixels(picture((12, 11, 1), 16)), 0, 64),
        "stored-webp-30x20": stored.lossless(to_pixels(flat), 2, exact=True),
        "stored-png-9x7": stored.lossless(with_metadata(to_pixels(picture((7, 9, 4), 16))), 2, exact=True),
        "stored-jpeg-20x30": _stored_jpeg(jpeg),
        "hdr-33x70": coded.file_of(tiny, hdr, 90),
        "lanes5-150x100": with_lanes(tiny, 5, in_parts=False),
        "lanes7-150x100": with_lanes(tiny, 7, in_parts=False),
        "lanes12-parts-150x100": with_lanes(tiny, 12, in_parts=True, side=1024),
        "extra-17x3": coded.file_of(tiny, with_metadata(to_pixels(picture((3, 17, 3))), Metadata(extra=EXTRA)), 60),
        "exact-16-bits-33x20": exact.file(to_pixels(picture((20, 33, 4), 16)), 0, 64),
        "exact-few-bits-33x20": exact.file(few_bits(), 0, 64),
        "exact-few-bits-error-33x20": exact.file(few_bits(), 100, 64),
        "exact-stairs-33x20": exact.file(to_pixels(stairs()), 0, 64),
        "exact-error-33x20": exact.file(to_pixels(picture((20, 33, 3), 16)), 7, 64),
        "exact-largest-error-33x20": exact.file(to_pixels(picture((20, 33, 3))), 255, 64),
        "exact-1x70": exact.file(to_pixels(picture((70, 1, 3))), 0, 64),
        "exact-70x1": exact.file(to_pixels(picture((1, 70, 3))), 2, 64),
        "stored-hdr-33x70": stored.lossless(hdr, 2, exact=True),
    }


def few_bits() -> Pixels:
    """Colours of 10 bits and alpha of 8, in 16."""
    ten, eight = picture((20, 33, 3), 16) >> 6, picture((20, 33, 4))[..., 3]
    return to_pixels(np.dstack([whole_range(ten, 10), whole_range(eight.astype(np.uint16), 8)]))


def stairs() -> np.ndarray:
    """Black and white blocks, and one sample that is neither: sums of the exact coder reach their limits."""
    i, j = np.mgrid[:20, :33]
    blocks = np.repeat(((i // 8 + j // 8) % 2 * 65535).astype(np.uint16)[..., None], 3, 2)
    blocks[11, 17, 1] = 12345
    return blocks


def _stored_jpeg(image: Image.Image) -> bytes:
    """A file as a camera writes it, on its side: its own metadata count."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=30, exif=b"Exif\0\0" + EXIF.replace(b"\1\0\0\0\1", b"\1\0\0\0\6"))
    return stored.original(to_pixels(Image.open(file)), file.getvalue())


def files_of_shipped_models() -> dict[str, bytes]:
    """Of a part of a photograph; and of gray waves of 16 bits in two passes."""
    with Image.open(Path(__file__).parents[1] / "pictures" / "astronaut.png") as image:
        photo = np.asarray(image.convert("RGB"))[40:176, 150:350]
    made, gray = {}, picture((120, 200, 1), 16)[..., 0]
    for name, model in SHIPPED.items():
        made[f"{name}-low-200x136"] = codec.encode(photo, 20, "cpu", model)
        made[f"{name}-200x136"] = codec.encode(photo, 75, "cpu", model, roi=[((0, 0, 64, 64), 20)])
        made[f"{name}-high-200x120"] = codec.encode(gray, 95, "cpu", model, progressive=True)
    assert all(codec.inspect(data).by_network for data in made.values())
    return made


def write_shipped(target: Path, data: bytes) -> None:
    by_scale = {k: codec.decode(data, "cpu", output="numpy", scale=1 / k) for k in (1, 2, 4, 8)}
    facts = {"model": codec.inspect(data).model_id.hex()}
    facts |= {f"sha256 at 1/{k}": coded.sha256(samples) for k, samples in by_scale.items()}
    target.write_bytes(data)
    target.with_suffix(".json").write_text(json.dumps(facts) + "\n")


def main(folder: Path) -> None:
    (folder / "shipped").mkdir(parents=True, exist_ok=True)
    for name, data in files_of_shipped_models().items():
        write_shipped(folder / "shipped" / f"v{format.VERSION}-{name}.aec", data)
    for name in ("tiny2", "tiny4"):
        model = Path(__file__).with_name(f"{name}.safetensors")
        tiny = torch_codec.load(model, torch.device("cpu"))
        made = files_of_networks(tiny) | (other_files(tiny) if name == "tiny2" else {})
        for kind, data in made.items():
            write(folder / f"v{format.VERSION}-{name}-{kind}.aec", data, model, tiny)


def write(target: Path, data: bytes, model: Path, tiny: torch_codec.Codec) -> None:
    target.write_bytes(data)
    facts = {"model": model.name}
    if codec.inspect(data).by_network:
        facts["latents_sha256"] = coded.sha256(*coded.latents(tiny, data))
    kept = code_points.blocks(codec.read_metadata(data), codec.inspect(data).gray)
    facts["metadata"] = {k: v.hex() for k, v in kept.items()}
    pixels = codec.decode(data, "cpu", model, "numpy")
    if "jpeg" in target.name:
        Image.fromarray(pixels).save(target.with_suffix(".png"))
    else:
        facts["samples"] = {"shape": pixels.shape, "type": str(pixels.dtype), "sha256": coded.sha256(pixels)}
    target.with_suffix(".json").write_text(json.dumps(facts) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
