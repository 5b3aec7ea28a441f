"""How the golden collections were made: `python tests/golden/make_collection.py FOLDER`. They are never made again.

A tiny autoencoder with a layer of every kind, trained for a moment on blobs, so that collections of its pictures show
whether any of the layers has changed. The hash of the pictures that they decode to is in tests/test_collections.py.
"""

import hashlib
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

import codec
from codec.family.member import Last, Member, Repeat, Rows
from codec.train import small_export

SIDE = 8


def blobs(n: int, side: int = SIDE, seed: int = 0) -> np.ndarray:
    """Pictures of one blob at a random place and of random width: uint8 [N, side, side, 1]."""
    rng = np.random.default_rng(seed)
    i, j = np.mgrid[:side, :side]
    y, x = rng.uniform(1, side - 2, (2, n, 1, 1))
    width = rng.uniform(0.8, side / 5, (n, 1, 1))
    return (255 * np.exp(-((i - y) ** 2 + (j - x) ** 2) / (2 * width**2))).round().astype(np.uint8)[..., None]


def member() -> Member:
    encoder = nn.Sequential(
        *(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Unflatten(1, (8, 8))),
        *(Rows(8, 12), Last(), nn.Linear(12, 6), nn.Tanh()),
    )
    decoder = nn.Sequential(
        *(nn.Linear(6, 16), nn.Sigmoid(), Repeat(4), Rows(16, 8), nn.Flatten(), nn.Unflatten(1, (2, 4, 4))),
        *(nn.ConvTranspose2d(2, 6, 4, 2, 1), nn.ReLU(), nn.Conv2d(6, 1, 3, padding=1), nn.Sigmoid()),
    )
    return Member(encoder, decoder, (1, SIDE, SIDE))


def train(net: Member, pictures: np.ndarray, steps: int) -> None:
    x = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
    adam = torch.optim.Adam(net.parameters(), 0.02)
    for _ in range(steps):
        adam.zero_grad()
        net.loss(x, 0.5).backward()
        adam.step()


def main(folder: Path) -> None:
    torch.manual_seed(0)
    net, pictures = member(), blobs(256)
    train(net, pictures, 600)
    model = folder / "tiny-collection.safetensors"
    small_export.save(model, net, "golden", pictures)
    (folder / "collections").mkdir(exist_ok=True)
    for name, quality, names in (("plain", 95, None), ("named", 20, [f"blobs/{i:03}" for i in range(300)])):
        data = codec.encode_collection(blobs(300, seed=1), model, quality, names)
        (folder / "collections" / f"v1-{name}.aec").write_bytes(data)
        found = codec.open_collection(data, model)[:]
        error = ((found / 255.0 - blobs(300, seed=1)[..., 0] / 255.0) ** 2).mean()
        print(name, len(data), "bytes, squared error", error, hashlib.sha256(found.tobytes()).hexdigest())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
