"""How the golden files were made: `python tests/golden/make.py FOLDER`. Files are only ever added, never made again.

A tiny model with random weights stands in for a trained one, so that it can stay in the repository for ever: what is
golden is the format, the integer nets' arithmetic and the coder. `tiny2` and `tiny4` were made when the synthesis was
not yet told the quality, `told2` and `told4` by what stands here.
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import codec
from codec import format, weights
from codec.model import Config, Model

sys.path.append(str(Path(__file__).resolve().parents[1]))
import coded  # noqa: E402

SHAPES = {"1x1": (1, 1, 3), "gray-17x3": (3, 17), "33x70": (70, 33, 3), "tiles-150x100": (100, 150, 3)}


def picture(shape: tuple[int, ...]) -> np.ndarray:
    rng = np.random.default_rng(sum(shape))
    i, j = np.mgrid[: shape[0], : shape[1]]
    waves = 120 + 70 * np.sin(i / 7 + j / 11)
    waves = waves[..., None] * [1, 0.9, 0.8] if len(shape) == 3 else waves
    return (waves + rng.normal(0, 12, shape)).clip(0, 255).astype(np.uint8)


def main(folder: Path) -> None:
    for steps, quality in ((2, 70), (4, 100)):
        torch.manual_seed(steps)
        config = Config(latents=8, hyper=4, wide8=8, blocks8=1, wide16=8, blocks16=1, context=8, steps=steps)
        model = Model(config)
        model.init_from_patches(torch.randn(2000, 768).cumsum(1) / 100)
        with torch.no_grad():
            for name, p in model.named_parameters():
                if "shortcut" not in name and "log_step" not in name:
                    p.add_(0.1 * torch.randn_like(p))
        path = folder / f"told{steps}.safetensors"
        weights.save(path, model)
        tiny = weights.load(path, torch.device("cpu"))
        for name, shape in SHAPES.items():
            side = 64 if name.startswith("tiles") else 1024
            data = coded.file(tiny, picture(shape), quality, side, effort=1)
            target = folder / f"v{format.VERSION}-told{steps}-{name}.aec"
            target.write_bytes(data)
            latents = coded.latents(tiny, data)
            digest = hashlib.sha256(b"".join(t.numpy().tobytes() for t in latents)).hexdigest()
            target.with_suffix(".json").write_text(json.dumps({"model": path.name, "latents_sha256": digest}) + "\n")
            Image.fromarray(codec.decode(data, "cpu", path, "numpy")).save(target.with_suffix(".png"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
