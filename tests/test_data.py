"""What is trained on: images from folders and shards, and crops of them."""

import io
import tarfile

import numpy as np
import photos
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from codec.train.images import Crops, load_images

CPU = torch.device("cpu")

# ------------------------------------------------------------------ crops


def symmetries(crop: np.ndarray) -> set[bytes]:
    """The eight flips and transpositions of a square [s, s, 3]."""
    out = set()
    for transposed in (crop, crop.transpose(1, 0, 2)):
        for a in (transposed, transposed[::-1]):
            for b in (a, a[:, ::-1]):
                out.add(b.tobytes())
    return out


def numbered(height, width, first):
    """No two pixels alike."""
    n = np.arange(first, first + height * width, dtype=np.int64)
    return np.stack([n & 255, n >> 8 & 255, n % 251], -1).astype(np.uint8).reshape(height, width, 3)


def test_crops_are_windows_of_the_images_in_all_eight_symmetries_and_nothing_else():
    images, side = [numbered(5, 7, 0), numbered(4, 4, 1000), numbered(9, 4, 2000)], 4
    allowed = {}
    for i, image in enumerate(images):
        for y in range(image.shape[0] - side + 1):
            for x in range(image.shape[1] - side + 1):
                for s in symmetries(image[y : y + side, x : x + side]):
                    allowed[s] = (i, y, x)
    crops = Crops(images, CPU, seed=0)
    seen = set()
    for _ in range(60):
        batch = crops.draw(50, side)
        assert batch.shape == (50, 3, side, side) and batch.dtype == torch.uint8
        for crop in batch.permute(0, 2, 3, 1).numpy():
            assert crop.tobytes() in allowed
            seen.add(crop.tobytes())
    assert seen == set(allowed)  # 3000 draws of 120 windows: every place and every symmetry comes up


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.integers(3, 12), st.integers(3, 12)), min_size=1, max_size=4),
    st.integers(1, 3),
    st.integers(0, 999),
)
def test_crops_of_any_images_hold_only_neighbouring_pixels_of_one_image(sizes, side, seed):
    images = [numbered(h, w, 5000 * i) for i, (h, w) in enumerate(sizes)]
    windows = set()
    for image in images:
        for y in range(image.shape[0] - side + 1):
            for x in range(image.shape[1] - side + 1):
                windows |= symmetries(image[y : y + side, x : x + side])
    drawn = Crops(images, CPU, seed).draw(20, side).permute(0, 2, 3, 1).contiguous().numpy()
    assert {crop.tobytes() for crop in drawn} <= windows


def test_crops_are_repeatable_and_take_images_by_their_area():
    images = [np.full((64, 64, 3), 10, np.uint8), np.full((64, 192, 3), 20, np.uint8)]
    a, b, c = (Crops(images, CPU, seed).draw(2000, 8) for seed in (1, 1, 2))
    assert torch.equal(a, b) and not torch.equal(a, c)
    assert 0.7 < (a[:, 0, 0, 0] == 20).float().mean() < 0.8


# ------------------------------------------------------------------ images


def png(image: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(image).save(out, "PNG")
    return out.getvalue()


def tar_of(path, members: dict[str, bytes]):
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def test_images_come_from_folders_shards_and_files_alike(tmp_path):
    a, b, c, d = (photos.photo(20 + i, 30, seed=i) for i in range(4))
    folder = tmp_path / "folder"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.png").write_bytes(png(a))
    (folder / "deep" / "b.PNG").write_bytes(png(b))
    (folder / "readme.txt").write_text("no image")
    tar_of(folder / "shard.tar", {"x/c.png": png(c), "x/c.json": b"{}", "folder/": b""})
    (tmp_path / "d.png").write_bytes(png(d))
    images, left_out = load_images([folder, tmp_path / "d.png"], 16)
    assert left_out == []
    assert sorted(im.tobytes() for im in images) == sorted(im.tobytes() for im in (a, b, c, d))
    (only,), _ = load_images([folder / "shard.tar"], 16)
    assert np.array_equal(only, c)


def test_gray_and_palette_images_become_rgb(tmp_path):
    gray = photos.photo(20, 20)[..., 0].copy()
    (tmp_path / "gray.png").write_bytes(png(gray))
    (image,), _ = load_images([tmp_path], 1)
    assert np.array_equal(image, np.repeat(gray[..., None], 3, 2))


def test_sixteen_bits_keep_their_range(tmp_path):
    ramp = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    Image.fromarray(ramp).save(tmp_path / "gray.png")
    ((image,), _) = load_images([tmp_path / "gray.png"], 64)
    assert image.dtype == np.uint8 and np.array_equal(image, np.repeat((ramp / 257).round()[..., None], 3, 2))


def test_broken_and_small_images_are_left_out_and_named(tmp_path):
    good = png(photos.photo(40, 40))
    (tmp_path / "good.png").write_bytes(good)
    (tmp_path / "cut.png").write_bytes(good[: len(good) // 2])
    (tmp_path / "text.jpg").write_text("hello")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "small.png").write_bytes(png(photos.photo(31, 99)))
    images, left_out = load_images([tmp_path], 32)
    assert len(images) == 1 and len(left_out) == 4
    for words in ("cut.png: ", "text.jpg: ", "empty.png: ", "99x31: smaller than 32"):
        assert sum(words in line for line in left_out) == 1


def test_damaged_chunks_of_any_kind_never_stop_the_loading(tmp_path):
    good = bytearray(png(photos.photo(24, 24)))
    rng = np.random.default_rng(0)
    for i in range(60):
        bad = bytearray(good)
        for at in rng.integers(8, len(bad), 3):
            bad[at] ^= 1 << int(rng.integers(8))
        (tmp_path / f"{i:02}.png").write_bytes(bad)
    (tmp_path / "good.png").write_bytes(good)
    images, left_out = load_images([tmp_path], 1)
    assert len(images) + len(left_out) == 61 and len(images) >= 1


def test_no_usable_image_or_no_such_path_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent"):
        load_images([tmp_path / "absent"], 1)
    with pytest.raises(ValueError, match="no usable image"):
        load_images([tmp_path], 1)
    (tmp_path / "text.png").write_text("hello")
    with pytest.raises(ValueError, match=r"no usable image .*\(1 left out\)"):
        load_images([tmp_path], 1)


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz"])
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_compressed_archive_that_is_cut_or_damaged_is_an_error_that_names_it_or_loses_images(kind, tmp_path, data):
    noise = np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8)
    with tarfile.open(tmp_path / "x.tar", f"w:{kind}") as tar:
        for i in range(3):
            info = tarfile.TarInfo(f"{i}.png")
            info.size = len(png(noise))
            tar.addfile(info, io.BytesIO(png(noise)))
    whole = (tmp_path / "x.tar").read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    bad = whole[:at] if data.draw(st.booleans()) else whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :]
    (tmp_path / "x.tar").write_bytes(bad)
    try:
        images, left_out = load_images([tmp_path / "x.tar"], 1)
    except ValueError as e:
        assert "x.tar" in str(e)
    else:
        assert len(images) + len(left_out) <= 3


@pytest.mark.parametrize("content", [b"not a tar at all", b""])
def test_a_damaged_shard_is_an_error_that_names_it(tmp_path, content):
    (tmp_path / "bad.tar").write_bytes(content)
    with pytest.raises(ValueError, match="bad.tar"):
        load_images([tmp_path / "bad.tar"], 1)


def test_a_shard_cut_short_is_an_error_that_names_it(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    tar = tar_of(tmp_path / "shard.tar", {f"{i}.png": png(noise) for i in range(3)})
    tar.write_bytes(tar.read_bytes()[:20_000])
    with pytest.raises(ValueError, match="shard.tar"):
        load_images([tar], 1)
