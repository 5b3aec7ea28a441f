"""An encoder makes the same file on every machine, and goes on making it: hashes of files of the golden models.

The first ones were made by the encoder in Python, before csrc/tile. Another hash means that files have changed. That is
allowed, because any decoder reads them, but it must be meant.
"""

import functools
import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from codec import _C
from codec.coding import engine, model_file, tiles
from codec.picture.samples import Pixels

GOLDEN = Path(__file__).parent / "golden"
QUALITIES, EFFORTS = (10, 50, 95), (1, 2, 5, 9)


def picture(height: int, width: int, channels: int = 3, dtype: type = np.uint8) -> np.ndarray:
    """Slopes, an edge, and noise; from integers only, so that it is the same everywhere."""
    i, j, c = np.mgrid[:height, :width, :channels]
    noise = np.random.default_rng(height * width).integers(-9, 10, i.shape)
    waves = np.abs((3 * i + 2 * j + 40 * c) % 256 - 128) + np.where(i * 3 > j * 2 + c, 80, 10)
    return (waves + noise).clip(0, 255).astype(dtype) * (257 if dtype == np.uint16 else 1)


def holes(height: int, width: int, dtype: type = np.uint8) -> np.ndarray:
    i, j = np.mgrid[:height, :width]
    return np.where((i // 9 + j // 13) % 3 == 0, 0, np.iinfo(dtype).max).astype(dtype)


# name: (pixels, tile side, channels of the first pass, whether there is a map of qualities)
PICTURES = {
    "a pixel": (Pixels(picture(1, 1)), 64, 0, False),
    "a row": (Pixels(picture(1, 200)), 64, 0, False),
    "colours": (Pixels(picture(83, 70)), 1024, 0, False),
    "tiles": (Pixels(picture(100, 150)), 64, 0, False),
    "gray": (Pixels(picture(70, 33, 1)), 1024, 0, False),
    "16 bits": (Pixels(picture(50, 61, 3, np.uint16)), 1024, 0, False),
    "16 bits, gray": (Pixels(picture(50, 61, 1, np.uint16)), 1024, 0, False),
    "alpha": (Pixels(picture(75, 90), holes(75, 90)), 64, 0, False),
    "alpha, 16 bits": (Pixels(picture(40, 90, 3, np.uint16), holes(40, 90, np.uint16)), 1024, 0, False),
    "a map": (Pixels(picture(100, 150)), 128, 0, True),
    "two passes": (Pixels(picture(100, 150)), 64, 3, False),
}


@functools.cache
def encoder_of(model: str, tune: str) -> engine.Encoder:
    return engine.Encoder(replace(model_file.load(GOLDEN / f"{model}.safetensors"), tune=tune))


def made(model: str, tune: str, name: str, effort: int) -> str:
    """The hash of the files of a picture at all QUALITIES."""
    pixels, side, first, mapped = PICTURES[name]
    encoder, digest = encoder_of(model, tune), hashlib.sha256()
    for base in QUALITIES:
        header = replace(pixels.header(base, encoder.file.id, side), alpha=False, first=first)
        blocks = (-(-pixels.height // 64), -(-pixels.width // 64))
        quality = (base + np.arange(blocks[0] * blocks[1]).reshape(blocks) % 5).astype(np.uint8) if mapped else None
        coded = tiles.encode(encoder, pixels, header, effort, quality=quality)
        digest.update(tiles.file(encoder, header, coded, quality))
    return digest.hexdigest()[:16]


# By model and what it is said to be trained for; for each of PICTURES the hashes at EFFORTS.
HASHES: dict[tuple[str, str], dict[str, str]] = {
    ("tiny2", "mse"): {
        "a pixel": "258645e04ec03a86 258645e04ec03a86 258645e04ec03a86 258645e04ec03a86",
        "a row": "81ca8fa2c49cd444 b7ad156ba0152aad ca1fdb077e3d3694 d2d397625c8bcbdf",
        "colours": "d2cbc43feea469cf 2b7cfeb162792637 48f598f15c154d63 31f136bb6168f19a",
        "tiles": "f6eb4fa74389453f 21379732193dbbc9 6305b347344aa4fa b0e3012b07de2d8b",
        "gray": "2d4dea90a4de66c2 97949db1c90c9282 35eb03d8efa9b52f 2734d4352389046d",
        "16 bits": "78c50a32a0feb452 124753e596d1bb8b 7d94730a68e243d2 5d4f9f9923663240",
        "16 bits, gray": "7d0452e54417f86d 008d80528f9f4f7b 1645e684db752f6c a7525059ffa5cab6",
        "alpha": "daea4efa37e78800 f4616d7411741b18 f0070b180988cae7 e7dcc531b741e99d",
        "alpha, 16 bits": "2de037a231b315c9 3d0222eabd39a20a 72d1cd10128fa12a 3156e94ee747eb43",
        "a map": "0c51298e0cc12e28 894e63e351580ceb 901e720f8a9d8c1d 72f484e662f6601e",
        "two passes": "e3e62d20732fa7d0 5bc20d3bb13e165f 10c134752a224b27 5646132d7d3b37d1",
    },
    ("tiny4", "mse"): {
        "a pixel": "f06c5ad67f6f614f f06c5ad67f6f614f f06c5ad67f6f614f f06c5ad67f6f614f",
        "a row": "105ee386f62ce260 c13c4c03573e86a9 c99261ad9f20e0b9 35cfd7f4bb87c000",
        "colours": "e2437d76fdaf20a7 b2da3f6fc4d86478 05f70ffedf048f07 646417e575f0a7a8",
        "tiles": "0dca6e7fa2a3710c 55adff7826c49bbd c88a72dac9c640b1 fa6ab04d5b3dd9d6",
        "gray": "a460847d1b6b49f8 7591e55f39df5d84 e9e0de28deddcb47 9c69e0e6575ce8b7",
        "16 bits": "12cae2c222ea4654 8798e5bcbbebd0f0 8fc5758be9bb4184 07a8dad9bc2156be",
        "16 bits, gray": "54df3b8595f1e8f4 0685de3d017f98d9 a0d33cedb6866510 bafd6fa85d462933",
        "alpha": "67ce74c5a52233d1 5f8af6ff17662944 5a86fd47f8756d8e d2be1b1d494978a9",
        "alpha, 16 bits": "13570a0a8836c1b2 b6927a3426ae44d3 156acfadf5c3870c a784e9a83bcdea23",
        "a map": "2f87af660a579538 3f6b27b3e20cf013 40a03699f8eefb1f 0159429a30303fdd",
        "two passes": "3854a47c448750ba f9219e216c04c5cf f2e17966737895be 3224bd686a3bc016",
    },
    ("tiny4", "eye"): {
        "a pixel": "f06c5ad67f6f614f f06c5ad67f6f614f f06c5ad67f6f614f f06c5ad67f6f614f",
        "a row": "105ee386f62ce260 6e2b6a370f85f0c9 e945b3ee29e3a2dc 1246506d8119d3e4",
        "colours": "e2437d76fdaf20a7 3bdb8f7d913f6ffd 8b9452c58d084bd6 b07424375c794bae",
        "tiles": "0dca6e7fa2a3710c 60cb0c552d268339 a1afee9ab0b4ea60 3938644d3e764491",
        "gray": "a460847d1b6b49f8 c042ca12e316d55a e2983c961fee9fc2 759946ef3f325960",
        "16 bits": "12cae2c222ea4654 4e473ed721299572 b81f3d678866cbc0 2d4f1b708a5ea4b0",
        "16 bits, gray": "54df3b8595f1e8f4 0021c898196ad390 a15f70eaf23d55c9 83c9dfe76cc30cd8",
        "alpha": "67ce74c5a52233d1 cfc455e5dff693a0 d741036765075928 99c7e615e953fb3a",
        "alpha, 16 bits": "13570a0a8836c1b2 c0d2386bd4bdead0 8bacafc228d37a95 bda8022927a897ec",
        "a map": "2f87af660a579538 92ca050d65f5172b dfebf00bf08641fe 688ea220a97c3b99",
        "two passes": "3854a47c448750ba e8a5cd7452dcaec2 8a77be68ee7d1ecd 1545616cca15b546",
    },
}


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize(("model", "tune"), HASHES)
def test_files_have_the_bytes_that_they_always_had(model, tune, name):
    assert " ".join(made(model, tune, name, effort) for effort in EFFORTS) == HASHES[model, tune][name]


@pytest.mark.parametrize("tune", ["mse", "eye"])
def test_files_are_the_same_bytes_with_all_instruction_sets(tune):
    before = _C.isa()
    try:
        for isa in _C.isas():
            _C.set_isa(isa)
            assert made("tiny4", tune, "tiles", 5) == HASHES["tiny4", tune]["tiles"].split()[2], isa
    finally:
        _C.set_isa(before)


if __name__ == "__main__":  # prints HASHES
    for which in (("tiny2", "mse"), ("tiny4", "mse"), ("tiny4", "eye")):
        print(f"    {which}: {{".replace("'", '"'))
        for name in PICTURES:
            print(f'        "{name}": "{" ".join(made(*which, name, effort) for effort in EFFORTS)}",')
        print("    },")
