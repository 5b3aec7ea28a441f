"""AecDataset feeds DataLoaders, with and without workers."""

import numpy as np
import photos
import pytest
import torch
from conftest import all_devices
from torch.utils.data import DataLoader

import codec
from codec.plugins.torch_dataset import AecDataset


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "b").mkdir()
    for i, name in enumerate(("b/2.aec", "1.aec", "b/1.AEC", "3.aec")):
        (folder / name).write_bytes(codec.encode(photos.photo(24, 40, seed=i), effort=1, device="cpu"))
    (folder / "notes.txt").write_text("not a picture")
    (folder / "folder.aec").mkdir()
    return folder


def test_a_folder_is_searched_and_sorted(folder):
    dataset = AecDataset(folder)
    assert [p.relative_to(folder).as_posix() for p in dataset.paths] == ["1.aec", "3.aec", "b/1.AEC", "b/2.aec"]
    assert len(dataset) == 4


def test_paths_keep_their_order(folder):
    assert AecDataset([folder / "3.aec", str(folder / "1.aec")]).paths == [folder / "3.aec", folder / "1.aec"]
    assert len(AecDataset([])) == 0


@pytest.mark.parametrize("device", all_devices())
def test_items_are_what_decode_gives(folder, device):
    dataset = AecDataset(str(folder), device=device)
    for path, item in zip(dataset.paths, dataset, strict=True):
        assert item.dtype == torch.uint8 and item.device.type == device and item.shape == (3, 24, 40)
        assert torch.equal(item, codec.decode(path.read_bytes(), device, output="torch"))
    assert torch.equal(dataset[-1], item)
    with pytest.raises(IndexError):
        dataset[4]


def test_region_scale_and_transform(folder):
    data = (folder / "1.aec").read_bytes()
    item = AecDataset(folder, region=(8, 4, 16, 12))[0]
    assert torch.equal(item, codec.decode(data, output="torch", region=(8, 4, 16, 12)))
    item = AecDataset(folder, scale=1 / 4, transform=lambda x: x.float() / 255)[0]
    assert torch.equal(item, codec.decode(data, output="torch", scale=1 / 4).float() / 255)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_decode(folder, method, threads):
    threads(2)
    here = torch.stack(list(AecDataset(folder)))  # threads and model are in use before the fork
    loader = DataLoader(AecDataset(folder), 2, num_workers=1, multiprocessing_context=method, timeout=60)
    assert torch.equal(torch.cat(list(loader)), here)


def test_the_file_that_is_not_right_is_named(folder, tmp_path):
    good = (folder / "1.aec").read_bytes()
    bad = {"cut.aec": good[:-1], "other.aec": b"GIF89a", "empty.aec": b""}
    for name, data in bad.items():
        (tmp_path / name).write_bytes(data)
    kinds = [codec.TruncatedError, codec.NotAecError, codec.NotAecError]
    for name, kind in zip(bad, kinds, strict=True):
        with pytest.raises(kind, match=name):
            AecDataset([tmp_path / name])[0]
    with pytest.raises(ValueError, match="1.aec.*region"):
        AecDataset(folder, region=(30, 0, 30, 10))[0]
    with pytest.raises(FileNotFoundError, match="no file ending in .aec"):
        AecDataset(tmp_path / "nowhere")


def test_16_bits_and_alpha_come_as_8_bits_and_a_channel(tmp_path):
    ramp = np.arange(32 * 32, dtype=np.uint16).reshape(32, 32)
    (tmp_path / "1.aec").write_bytes(codec.encode(ramp * 64, lossless=True))
    (tmp_path / "2.aec").write_bytes(
        codec.encode(np.dstack([photos.photo(16, 24), ramp[:16, :24] % 256]).astype(np.uint8))
    )
    deep, alpha = AecDataset(tmp_path)
    assert deep.dtype == torch.uint8 and deep.shape == (1, 32, 32) and len(deep.unique()) == 256
    assert alpha.shape == (4, 16, 24) and np.array_equal(alpha[3].numpy(), ramp[:16, :24] % 256)
