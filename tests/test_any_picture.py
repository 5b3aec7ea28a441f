"""Any picture of any size, by way of the whole api: what must be exact is, and sizes and metadata come back.

Hypothesis draws from the space; `pytest -m exhaustive tests/test_any_picture.py` walks through all 4225 sizes.
"""

import itertools
from functools import lru_cache

import numpy as np
import photos
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import codec
from codec.container.metadata import Metadata, reset_orientation
from codec.picture.pixels import to_pixels
from codec.picture.samples import to_numpy

MODES = ("1", "L", "LA", "I;16", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "PA")
ARRAYS = tuple(itertools.product(("numpy", "torch"), (1, 2, 3, 4), (8, 16)))
BLOCKS = st.builds(Metadata, *[st.none() | st.binary(min_size=1, max_size=60)] * 3)


def rgba(height: int, width: int, seed: int) -> np.ndarray:
    """uint8 [height, width, 4], alpha from 0 to 255 where there is room for it."""
    return np.dstack([large(seed)[:height, :width], large(seed + 1)[:height, :width, :1]])


@lru_cache
def large(seed: int) -> np.ndarray:
    return photos.photo(65, 65, seed)


def picture(kind: str | tuple, height: int, width: int, seed: int):
    whole = rgba(height, width, seed)
    if isinstance(kind, str):
        if kind == "I;16":
            return Image.fromarray(whole[..., 0].astype(np.uint16) * 257)
        return Image.fromarray(whole).convert(kind)
    holder, channels, depth = kind
    array = whole[..., {1: [1], 2: [1, 3], 3: [0, 1, 2], 4: [0, 1, 2, 3]}[channels]]
    array = array.astype(np.uint16) * 257 if depth == 16 else array
    if holder == "numpy":
        return array[..., 0] if channels == 1 else array
    import torch

    return torch.from_numpy(array).permute(2, 0, 1)


def check(image, model, metadata: Metadata | None = None, region: tuple[int, int, int, int] | None = None, **options):
    """Encode and decode; what is said in the name of the module."""
    given = to_pixels(image)
    expected = to_numpy(given)
    data = codec.encode(image, model=model, metadata=metadata, effort=1, **options)
    header = codec.inspect(data)
    back = codec.decode(data, model=model, output="numpy")
    assert back.shape == expected.shape and back.dtype == expected.dtype
    assert (header.gray, header.depth, header.alpha) == (given.gray, given.depth, given.alpha is not None)
    if header.alpha:
        assert np.array_equal(back[..., -1], expected[..., -1])
    if options.get("lossless"):
        assert np.array_equal(back, expected)
    assert codec.read_metadata(data) == reset_orientation(metadata or given.metadata)
    if region is not None:
        x, y, width, height = region
        part = codec.decode(data, model=model, output="numpy", region=region)
        assert np.array_equal(part, back[y : y + height, x : x + width])


@settings(max_examples=60)
@given(st.sampled_from((*MODES, *ARRAYS)), st.integers(1, 65), st.integers(1, 65), st.booleans(), BLOCKS, st.data())
def test_any_picture_comes_back(tiny_model, kind, height, width, lossless, metadata, data):
    x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    region = x, y, data.draw(st.integers(1, width - x)), data.draw(st.integers(1, height - y))
    image = picture(kind, height, width, data.draw(st.integers(0, 9)))
    options = {"lossless": True} if lossless else {"quality": data.draw(st.integers(1, 100))}
    check(image, tiny_model[0], metadata, region, **options)


@pytest.mark.exhaustive
@pytest.mark.parametrize("height", range(1, 66))
def test_every_size_up_to_65_comes_back(tiny_model, height):
    kinds = itertools.cycle((*MODES, *ARRAYS))
    for width in range(1, 66):
        check(picture(next(kinds), height, width, width), tiny_model[0], quality=50, region=(width // 2, 0, 1, height))
