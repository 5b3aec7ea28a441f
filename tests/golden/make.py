"""How the golden files were made: `python tests/golden/make.py FOLDER`. Files are only ever added, never made again.

A tiny model with random weights stands in for a trained one, so that it can stay in the repository for ever: what is
golden is the format, the integer nets' arithmetic and the coder. `tiny2` and `tiny4` were made when the synthesis was
not yet told the quality, `told2` and `told4` by what stood here then; what stands here now takes `told2` as it is, and
makes the files with alpha, metadata, 16 bits, and of stored pictures.
"""

import hashlib
import io
import json
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import codec
from codec.container import format
from codec.container.metadata import Metadata
from codec.nets import torch_codec
from codec.picture import samples16, stored
from codec.picture.pixels import Pixels, to_pixels

sys.path.append(str(Path(__file__).resolve().parents[1]))
import coded  # noqa: E402

MODEL = Path(__file__).with_name("told2.safetensors")
EXIF = bytes.fromhex("49492a0008000000010012010300010000000100000000000000")  # orientation 1
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


def files(tiny: torch_codec.Codec) -> dict[str, bytes]:
    alpha = to_pixels(picture((1, 1, 4)) // 2)
    everything = to_pixels(picture((70, 90, 2), 16))
    flat = (picture((20, 30, 3)) // 128 * 90).astype(np.uint8)
    jpeg = Image.fromarray(flat)

    def with_metadata(pixels: Pixels) -> Pixels:
        return Pixels(pixels.data, pixels.alpha, METADATA)

    return {
        "alpha-1x1": coded.file_of(tiny, with_metadata(alpha), 70),
        "alpha-tiles-150x100": coded.file(tiny, picture((100, 150, 4)), 70, 64),
        "deep-33x70": coded.file(tiny, picture((70, 33, 3), 16), 90),
        "everything-90x70": coded.file_of(tiny, with_metadata(everything), 50, 64),
        "stored-webp-30x20": stored.lossless(to_pixels(flat), 2, exact=True),
        "stored-png-9x7": stored.lossless(with_metadata(to_pixels(picture((7, 9, 4), 16))), 2, exact=True),
        "stored-jpeg-20x30": _stored_jpeg(jpeg),
    }


def _stored_jpeg(image: Image.Image) -> bytes:
    """A file as a camera writes it, on its side: its own metadata count."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=30, exif=b"Exif\0\0" + EXIF.replace(b"\1\0\0\0\1", b"\1\0\0\0\6"))
    return stored.original(to_pixels(Image.open(file)), file.getvalue())


def main(folder: Path) -> None:
    tiny = torch_codec.load(MODEL, torch.device("cpu"))
    for name, data in files(tiny).items():
        target = folder / f"v{format.VERSION}-told2-{name}.aec"
        target.write_bytes(data)
        facts = {"model": MODEL.name}
        if not codec.inspect(data).stored:
            latents = coded.latents(tiny, data)
            facts["latents_sha256"] = hashlib.sha256(b"".join(t.numpy().tobytes() for t in latents)).hexdigest()
        facts["metadata"] = {k: v.hex() for k, v in codec.read_metadata(data).blocks().items()}
        target.with_suffix(".json").write_text(json.dumps(facts) + "\n")
        pixels = codec.decode(data, "cpu", MODEL, "numpy")
        if pixels.dtype == np.uint16:
            target.with_suffix(".png").write_bytes(samples16.write_png(pixels))
        else:
            Image.fromarray(pixels).save(target.with_suffix(".png"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
