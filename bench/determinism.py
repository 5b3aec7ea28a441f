"""Do files mean the same whatever computes them? `python -m bench.determinism DIR` (or `codec.bench.determinism`).

A setting chooses kernels, a number of threads, a memory layout or a batch, all of which can change the order in which
floating-point sums are added. Given the same picture, every setting must give the same results: latents from the
analysis, means and indexes from the integer networks, a payload from the encoder, and latents and pixels from the
decoder of one file; both in csrc and in torch. (Refinement is not tested, since it uses a float synthesis to choose
symbols.)

The control is the same entropy networks in float32, with the true latents as context. Some of its indexes must differ
between settings. If none did, these settings would be too similar to show anything. Each index that differs would mean
a lost image in a codec that parses its files with float networks.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

ENVIRONMENTS = {
    "as it comes": {},
    "ATen plain": {"ATEN_CPU_CAPABILITY": "default"},
    "ATen AVX2": {"ATEN_CPU_CAPABILITY": "avx2"},
    "oneDNN AVX2": {"ONEDNN_MAX_CPU_ISA": "AVX2"},
    "oneDNN AVX512_CORE": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"},
    "MKL compatible": {"MKL_CBWR": "COMPATIBLE"},
    "all AVX2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_CBWR": "AVX2"},
    "all least": {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_CBWR": "COMPATIBLE"},
}
# Settings that can change within one process: (whether oneDNN is used, number of threads, whether tensors have the
# memory format channels_last, whether another image is in the same batch).
VARIATIONS = {
    "": (True, 1, False, False),
    "oneDNN off": (False, 1, False, False),
    "2 threads": (True, 2, False, False),
    "channels last": (True, 1, True, False),
    "batch 2": (True, 1, False, True),
    "all four": (False, 2, True, True),
}
REFERENCE = "as it comes"
_VARIABLES = {name for env in ENVIRONMENTS.values() for name in env} | {"OMP_NUM_THREADS", "MKL_NUM_THREADS"}


@dataclass(frozen=True)
class Row:
    """How many results of a setting differ from those of the reference setting."""

    setting: str
    images: int  # how many images were tested
    symbols: int  # how many symbols these have
    integer_images: int  # images for which any integer differs
    integer_symbols: int  # how many integers differ
    float_images: int  # images for which the float control differs
    float_symbols: int  # how many indexes of the float control differ
    sha256: str  # of all integers: latents, means, indexes, payloads, pixels


def float_twin(net):
    """A float32 `EntropyNet` with the weights of the integer networks, as a codec without integers would run it."""
    import torch
    from torch import nn

    from codec.nets.integer import FRACTION_BITS, IntegerConv, IntegerQualityVector
    from codec.nets.model import EntropyNet

    class Rows(nn.Module):
        def __init__(self, table):
            super().__init__()
            self.register_buffer("table", table.float() / 2**FRACTION_BITS)

        def forward(self, q):
            return self.table[q - 1][:, :, None, None]

    twin = EntropyNet(net.config).requires_grad_(False).eval()
    for name, module in net.net.named_modules():
        if isinstance(module, IntegerConv):
            conv, scale = twin.get_submodule(name), torch.exp2(-module.shift.double())
            conv.weight.copy_(module.weight * scale[:, None, None, None])
            conv.bias.copy_(module.bias * scale / 2**FRACTION_BITS)
        elif isinstance(module, IntegerQualityVector):
            parent, _, last = name.rpartition(".")
            setattr(twin.get_submodule(parent), last, Rows(module.table))
    return twin


def _say(prior, step, z, y, order, channels_last: bool, batch: bool):
    """(means, indexes), each [K, M, h, w]: each step's predictions of all latents, with the true latents as context."""
    import torch

    if batch:  # the other image in the batch is this one mirrored
        z, y = torch.cat([z, z.flip(3)]), torch.cat([y, y.flip(3)])
    if channels_last:
        z, y = (t.contiguous(memory_format=torch.channels_last) for t in (z, y))
    features = prior(z, y.shape[2], y.shape[3])
    said = [step(k, features, torch.where(order < k, y, 0.0)) for k in range(int(order.max()) + 1)]
    return torch.stack([mean[0] for mean, _ in said]), torch.stack([index[0] for _, index in said])


def _integer(
    codec, reference, image: Mapping[str, np.ndarray], quality: int, channels_last: bool, batch: bool
) -> dict[str, np.ndarray]:
    """All results that must be the same in every setting. `reference`: the codec whose networks run in torch."""
    import torch

    from codec.coding import payloads
    from codec.errors import CorruptError
    from codec.nets import integer
    from codec.nets.coding_order import step_of

    net, q = codec.net, torch.tensor([quality])
    y, z = _analysed(codec, image["picture"], quality)
    reference_y, reference_z = _analysed(reference, image["picture"], quality)
    walk = codec.walk(quality, *y.shape[1:])
    symbols, indexes, segments, y_hat = payloads.quantise(walk, y, z, codec.dead_zones)
    payload = payloads.encode(symbols, indexes, segments, codec.tables)
    symbols, indexes = symbols.numpy(), indexes.numpy()
    order = step_of(net.config.steps, *y.shape)
    fixed = integer.to_fixed(torch.from_numpy(image["y_hat"]) if "y_hat" in image else y_hat)[None]
    z_hat = (
        torch.from_numpy(image["z_hat"])
        if "z_hat" in image
        else _hyperlatents(net, symbols, segments, quality, z.shape)
    )
    means, rows = _say(
        lambda z, h, w: net.prior(z, q, h, w),
        lambda k, p, y: net.predict(k, p, y, q),
        z_hat,
        fixed,
        order,
        channels_last,
        batch,
    )
    try:
        written = image["payload"].tobytes() if "payload" in image else payload
        read = payloads.read(codec.walk(quality, *y.shape[1:]), codec.tables, written)
    except CorruptError:
        read = torch.full_like(y, float("nan"))
    return {
        "y": y.numpy(),
        "z": z.numpy(),
        "reference_y": reference_y.numpy(),
        "reference_z": reference_z.numpy(),
        "symbols": symbols,
        "indexes": indexes,
        "payload": np.frombuffer(payload, np.uint8),
        "y_hat": y_hat.numpy(),
        "z_hat": z_hat.numpy(),
        "means": means.numpy(),
        "rows": rows.numpy(),
        "read": read.numpy(),
        "pixels": _pixels(codec, fixed[0], quality),
        "reference_pixels": _pixels(reference, fixed[0], quality),
    }


def _analysed(codec, picture, quality):
    """Latents [M, h, w] and hyperlatents [Z, ceil(h/4), ceil(w/4)] of a picture of one tile, without refinement."""
    from codec.coding.tiles import TileTask
    from codec.container.format import Tile
    from codec.nets import torch_encoder
    from codec.picture.pixels import to_pixels

    pixels = to_pixels(picture)
    whole = Tile(0, 0, pixels.width, pixels.height)
    return torch_encoder.analyse(codec, TileTask(pixels, whole, quality, effort=1))


def _pixels(codec, latents, quality):
    """The pixels, uint16 [16 h, 16 w, 3], of latents [M, h, w] in units of 2^-12."""
    import torch

    from codec.coding.decoder import Place

    latents = latents.to(torch.int16).permute(1, 2, 0).contiguous().numpy()
    size = tuple(latents.shape[:2])
    out = np.empty((16 * size[0], 16 * size[1], 3), np.uint16)
    codec.decoder.synthesis.run(latents, Place((0, 0), size, quality), 1, (0, 0), out)
    return out


def _hyperlatents(net, symbols, segments, quality, shape):
    """The hyperlatents, float64 [1, Z, h, w], from the symbols of segment 0, as in FORMAT §8."""
    import torch

    s = torch.from_numpy(symbols[: segments[0]]).double().view(1, *shape)
    return (s * net.hyper_step[quality - 1].double()[:, None, None]).clamp(-32768, 32767)


def _control(
    twin, integers: Mapping[str, np.ndarray], quality: int, wide: bool, channels_last: bool, batch: bool
) -> np.ndarray:
    """The table indexes, [M, h, w], that the float network predicts from the given latents.

    wide: predict many more indexes than a file uses, [16, K, M, h, w]: those of every step for all latents, each with
    sixteen different constants added before rounding. Differences between settings are rare, so that this finds them
    with few images.
    """
    import torch

    from codec.coding.cdf_tables import INDEX_COUNT
    from codec.nets.coding_order import step_of
    from codec.nets.integer import FRACTION_BITS
    from codec.nets.model import INDEX_UNIT

    y, z = (
        torch.from_numpy(integers["y_hat"])[None].float(),
        torch.from_numpy(integers["z_hat"]).float() / 2**FRACTION_BITS,
    )
    order = step_of(len(twin.steps), *y.shape[1:])
    twin = twin.to(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
    q = torch.tensor([quality])
    _, index = _say(
        lambda z, h, w: twin.prior(z, q, h, w), lambda k, p, y: twin.step(k, p, y, q), z, y, order, channels_last, batch
    )
    constants = torch.arange(16 if wide else 1)[:, None, None, None, None] / 16
    rounded = (index * INDEX_UNIT + constants + 0.5).floor().clamp(0, INDEX_COUNT - 1).to(torch.uint8)
    return (rounded if wide else rounded[0].gather(0, order[None])).numpy()


def worker(folder: Path, environment: str, variations: list[str]) -> None:
    """The main function of a process whose environment variables are a setting. Write the rows of all variations to
    folder/ENVIRONMENT.json."""
    import torch

    from codec.coding.segment_walk import NETS
    from codec.nets import torch_codec

    job = json.loads((folder / "job.json").read_text())
    codec, reference_codec = (torch_codec.load(Path(job["model"]), torch.device("cpu"), n) for n in NETS)
    quality = job["quality"]
    wide = job["wide_control"]
    twin, rows = float_twin(codec.net), []
    for variation in variations:
        onednn, threads, channels_last, batch = VARIATIONS[variation]
        torch.set_num_threads(threads)
        counts, total, digest = [], 0, hashlib.sha256()
        with torch.inference_mode(), torch.backends.mkldnn.flags(enabled=onednn):
            for i in range(job["images"]):
                image = dict(np.load(folder / f"{i}.npz"))
                path = folder / f"{i}.reference.npz"
                if path.exists():
                    reference = dict(np.load(path))
                    image |= {name: reference[name] for name in ("payload", "y_hat", "z_hat")}
                    got = _integer(codec, reference_codec, image, quality, channels_last, batch)
                    control = _control(twin, reference, quality, wide, channels_last, batch)
                else:  # the first variation of the first process
                    got = _integer(codec, reference_codec, image, quality, channels_last, batch)
                    control = _control(twin, got, quality, wide, channels_last, batch)
                    reference = {**got, "control": control}
                    np.savez(path, **reference)
                for name in sorted(got):
                    digest.update(got[name].tobytes())
                wrong = sum(_differing(got[name], reference[name]) for name in got)
                wrong += sum(_differing(got[f"reference_{name}"], reference[name]) for name in ("y", "z", "pixels"))
                counts.append((wrong, _differing(control, reference["control"])))
                total += got["symbols"].size
        row = Row(
            ", ".join(filter(None, (environment, variation))),
            len(counts),
            total,
            sum(a > 0 for a, _ in counts),
            sum(a for a, _ in counts),
            sum(b > 0 for _, b in counts),
            sum(b for _, b in counts),
            digest.hexdigest(),
        )
        rows.append(asdict(row))
    (folder / f"{environment}.json").write_text(json.dumps(rows))


def _differing(a: np.ndarray, b: np.ndarray) -> int:
    return int((a != b).sum()) if a.shape == b.shape else max(a.size, b.size)


def matrix(
    images: Iterable[np.ndarray],
    quality: int = 60,
    model: str | os.PathLike | None = None,
    environments: Iterable[str] = tuple(ENVIRONMENTS),
    variations: Iterable[str] = tuple(VARIATIONS),
    wide_control: bool = False,
) -> Iterator[Row]:
    """Yield a `Row` for every setting. The first is the reference.

    Args:
        images: uint8 [H, W, 3] or [H, W].
        quality: 1..100.
        model: as in codec.encode.
        environments, variations: names of ENVIRONMENTS and VARIATIONS to test; the reference is always tested too.
        wide_control: compute many more indexes of the float control than a file uses, so that a few images are enough
            to make it differ.
    """
    from codec.coding import model_search

    path = model_search.find(model).resolve()
    variations = ["", *(v for v in variations if v)]
    module = __spec__.name
    root = Path(__file__).resolve().parents[module.count(".")]
    clean = {k: v for k, v in os.environ.items() if k not in _VARIABLES}
    clean["PYTHONWARNINGS"] = "ignore"
    clean["PYTHONPATH"] = os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH"))))
    with tempfile.TemporaryDirectory() as name:
        folder, n = Path(name), 0
        for n, image in enumerate(images, 1):  # noqa: B007
            np.savez(folder / f"{n - 1}.npz", picture=image)
        (folder / "job.json").write_text(
            json.dumps({"model": str(path), "quality": quality, "images": n, "wide_control": wide_control})
        )
        for environment in [REFERENCE, *(e for e in environments if e != REFERENCE)]:
            command = [sys.executable, "-m", module, "--worker", str(folder), environment, *variations]
            done = subprocess.run(command, env=clean | ENVIRONMENTS[environment], capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(f"the worker for {environment!r} failed:\n{done.stderr}")
            for row in json.loads((folder / f"{environment}.json").read_text()):
                yield Row(**row)


def main(argv: list[str] | None = None) -> int:
    """Print the table. The exit code is 1 if any integers differ, and 3 if the float control never differs."""
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["--worker"]:
        worker(Path(argv[1]), argv[2], argv[3:])
        return 0
    from PIL import Image

    parser = argparse.ArgumentParser("determinism", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder of pictures")
    parser.add_argument("-q", "--quality", type=int, default=60)
    parser.add_argument("--model", metavar="NAME|FILE")
    parser.add_argument("--images", type=int, help="how many pictures to test (default: all)")
    args = parser.parse_args(argv)
    paths = sorted(p for p in args.folder.iterdir() if p.suffix.lower() in (".png", ".ppm", ".jpg", ".jpeg", ".webp"))
    if not paths:
        parser.error(f"no pictures in {args.folder}")
    pictures = (np.array(Image.open(p).convert("RGB")) for p in paths[: args.images])
    print(f"{'':34} {'integers':>20} {'float control':>20}")
    print(f"{'setting':34} {'images':>8} {'values':>11} {'images':>8} {'indexes':>11}   sha256 of the integers")
    rows = []
    for row in matrix(pictures, args.quality, args.model):
        rows.append(row)
        figures = f"{row.integer_images:8} {row.integer_symbols:11} {row.float_images:8} {row.float_symbols:11}"
        print(f"{row.setting:34} {figures}   {row.sha256[:16]}", flush=True)
    integer = sum(r.integer_symbols > 0 for r in rows)
    control = sum(r.float_symbols > 0 for r in rows)
    total = f"{len(rows)} settings, {rows[0].images} images, {rows[0].symbols} symbols"
    print(f"{total}: {integer} settings differ in integers, {control} in floats")
    return 1 if integer else 3 if not control else 0


if __name__ == "__main__":
    sys.exit(main())
