"""Libraries that feed trainings read .aec files: torch, webdataset, torchvision and Hugging Face's datasets."""

import io
import pickle
import subprocess
import sys
import tarfile
from functools import partial

import numpy as np
import photos
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import DataLoader

import codec
from codec.opened import SCALES
from codec.plugins import torchvision as aec_torchvision
from codec.plugins import webdataset as aec_webdataset
from codec.plugins.picture_decoder import PictureDecoder
from codec.plugins.pillow import register
from codec.plugins.torch_dataset import AecDataset

SIZES = ((24, 40), (24, 40), (40, 24), (24, 40), (70, 33))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pictures of two classes: cats/0.aec, dogs/1.aec, cats/2.aec and so on."""
    folder = tmp_path_factory.mktemp("pictures")
    for i, (height, width) in enumerate(SIZES):
        path = folder / ("cats", "dogs")[i % 2] / f"{i}.aec"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(codec.encode(photos.photo(height, width, seed=i), effort=1, device="cpu"))
    return folder


@pytest.fixture(scope="module")
def files(folder):
    return sorted(folder.rglob("*.aec"))


@pytest.fixture(scope="module")
def small_file(files):
    return codec.open(files[0])


# ------------------------------------------------------------------------------------------- the size that is decoded


@given(
    least=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    region=st.none() | st.tuples(st.integers(0, 10), st.integers(0, 10), st.integers(1, 30), st.integers(1, 14)),
)
def test_scale_above_is_the_smallest_that_leaves_the_picture_large_enough(small_file, least, region):
    width, height = region[2:] if region else (small_file.header.width, small_file.header.height)
    enough = [scale for scale in SCALES if width * scale >= least[0] and height * scale >= least[1]]
    assert small_file.scale_above(least, region) == min(enough, default=1)


@pytest.mark.parametrize(
    ("least", "region", "error"),
    [((0, 5), None, ValueError), ((5, 5, 5), None, TypeError), (5, None, TypeError), ((1.5, 2), None, TypeError)]
    + [((5, 5), (0, 0, 999, 5), ValueError), ((5, 5), (0, 0, 5), TypeError)],
)
def test_scale_above_refuses_what_is_no_size(small_file, least, region, error):
    with pytest.raises(error, match="region" if region else "least"):
        small_file.scale_above(least, region)


def test_at_least_decodes_each_picture_at_the_scale_that_it_allows(files):
    sizes = [PictureDecoder(at_least=(12, 12))(path).shape for path in files]
    assert sorted(sizes) == sorted(((h + 1) // 2, (w + 1) // 2, 3) for h, w in SIZES)
    data = files[0].read_bytes()
    small = codec.decode(data, output="numpy", scale=1 / 4)
    assert np.array_equal(PictureDecoder(at_least=(3, 3), region=(0, 0, 12, 12))(data), small[:3, :3])
    with pytest.raises(ValueError, match="at_least .* and scale"):
        PictureDecoder(at_least=(8, 8), scale=1 / 2)


# ------------------------------------------------------------------------------------------------------------- torch


@pytest.mark.parametrize("threads_used", [1, 3])
def test_a_batch_holds_the_items_in_order(folder, threads, threads_used):
    threads(threads_used)
    seen = []
    dataset = AecDataset(folder, lambda image: seen.append(image) or image, at_least=(12, 12))
    order = [3, 0, 4, 0, 1]
    single = [dataset[i] for i in order]
    seen.clear()
    batch = dataset.__getitems__(order)
    assert all(torch.equal(a, b) for a, b in zip(batch, single, strict=True))
    assert [id(image) for image in seen] == [id(image) for image in batch]
    assert dataset.__getitems__([]) == []


def test_a_bad_file_of_a_batch_is_named(folder, tmp_path, threads):
    threads(2)
    (tmp_path / "bad.aec").write_bytes(b"GIF89a")
    dataset = AecDataset([*folder.rglob("*.aec"), tmp_path / "bad.aec"])
    with pytest.raises(codec.NotAecError, match="bad.aec"):
        dataset.__getitems__(range(len(dataset)))


# -------------------------------------------------------------------------------------------------------- webdataset


@pytest.fixture(scope="module")
def shard(folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("shards") / "0.tar"
    with tarfile.open(path, "w") as tar:
        for i, file in enumerate(sorted(folder.rglob("*.aec"))):
            png = io.BytesIO()
            Image.new("RGB", (5, 4), (9 * i, 0, 0)).save(png, "PNG")
            for suffix, data in (("AEC", file.read_bytes()), ("seg.aec", file.read_bytes()), ("cls", b"%d" % i)):
                add(tar, f"{i}.{suffix}", data)
            add(tar, f"{i}.png", png.getvalue())
    return path


def add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def test_webdataset_decodes_aec_members_and_leaves_others_to_other_handlers(shard, files):
    wds = pytest.importorskip("webdataset")
    samples = list(wds.WebDataset(str(shard), shardshuffle=False).decode(aec_webdataset.handler, "rgb8"))
    assert len(samples) == len(files)
    for i, (sample, file) in enumerate(zip(samples, files, strict=True)):
        assert np.array_equal(sample["aec"], codec.decode(file, output="numpy"))
        assert np.array_equal(sample["seg.aec"], sample["aec"])
        assert sample["cls"] == i and sample["png"].shape == (4, 5, 3)


def test_handlers_of_webdataset_take_options_and_can_be_pickled(files):
    data = files[0].read_bytes()
    for options in ({"output": "torch", "scale": 1 / 2}, {"output": "pil"}, {"region": (8, 4, 16, 12)}):
        handle = pickle.loads(pickle.dumps(aec_webdataset.decoder(**options)))
        made = handle(".aec", data)
        assert np.array_equal(made, codec.decode(data, **{"output": "numpy", **options}))
        assert handle(".png", data) is None and handle(".aecs", data) is None
    with pytest.raises(TypeError, match="quality"):
        aec_webdataset.decoder(quality=3)


# ------------------------------------------------------------------------------------------------------- torchvision


def test_torchvision_folders_have_classes_and_rgb(folder, files):
    try:
        from torchvision import datasets
    except (ImportError, RuntimeError) as e:  # the latter if it was built for another torch
        pytest.skip(f"torchvision cannot be imported: {e}")
    dataset = datasets.DatasetFolder(folder, aec_torchvision.loader, extensions=(".aec",))
    assert dataset.classes == ["cats", "dogs"] and [path for path, _ in dataset.samples] == list(map(str, files))
    assert [label for _, label in dataset] == [0, 0, 0, 1, 1]
    for path, (image, _) in zip(files, dataset, strict=True):
        assert image.mode == "RGB" and np.array_equal(image, codec.decode(path, output="numpy"))


def test_the_loader_gives_rgb_of_whatever_it_reads(tmp_path):
    ramp = np.arange(32 * 32, dtype=np.uint16).reshape(32, 32) * 64
    pictures = {"gray.aec": ramp.astype(np.uint8), "deep.aec": ramp, "colour.aec": np.dstack([ramp] * 3)}
    for name, picture in pictures.items():
        (tmp_path / name).write_bytes(codec.encode(picture, lossless=True))
        expected = codec.decode(tmp_path / name, output="numpy", depth=8)
        image = aec_torchvision.loader(tmp_path / name)
        assert image.mode == "RGB" and np.array_equal(np.asarray(image)[..., 0], expected.reshape(32, 32, -1)[..., 0])
    Image.fromarray(photos.photo(64, 64)).save(tmp_path / "other.jpg")
    Image.fromarray(photos.photo(64, 64)).save(tmp_path / "other.png")
    assert aec_torchvision.loader(tmp_path / "other.jpg", at_least=(16, 16)).size == (16, 16)
    assert aec_torchvision.loader(str(tmp_path / "other.png"), at_least=(16, 16)).size == (64, 64)
    assert aec_torchvision.loader(tmp_path / "gray.aec", at_least=(16, 16)).size == (16, 16)
    (tmp_path / "bad.aec").write_bytes(b"GIF89a")
    with pytest.raises(codec.NotAecError, match="bad.aec"):
        aec_torchvision.loader(tmp_path / "bad.aec")


# ------------------------------------------------------------------------------------------- Hugging Face's datasets


@pytest.fixture(scope="module")
def huggingface(tmp_path_factory):
    """The package, offline, with a cache of its own; and the plugin."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setenv("HF_HOME", str(tmp_path_factory.mktemp("hf")))
        package = pytest.importorskip("datasets")
        from codec.plugins import huggingface

        package.disable_progress_bars()
        huggingface.register()
        huggingface.register()  # once more changes nothing
        assert package.packaged_modules.imagefolder.ImageFolder.EXTENSIONS.count(".aec") == 1
        yield package


def expected_of(files) -> dict:
    return {path.name: codec.decode(path, output="numpy") for path in files}


@pytest.fixture
def pictures_of_folder(huggingface, folder, tmp_path):
    return huggingface.load_dataset("imagefolder", data_dir=str(folder), split="train", cache_dir=str(tmp_path))


def test_imagefolder_finds_aec_files_and_labels(pictures_of_folder, files):
    dataset, right = pictures_of_folder, expected_of(files)
    assert dataset.features["label"].names == ["cats", "dogs"] and len(dataset) == len(files)
    names = [row["image"]["path"].rpartition("/")[2] for row in dataset.cast_column("image", image(decode=False))]
    for name, row in zip(names, dataset, strict=True):
        assert np.array_equal(row["image"], right[name])
        assert row["label"] == int(name[0]) % 2


def image(**options):
    import datasets

    return datasets.Image(**options)


def test_parquet_holds_the_bytes_of_the_files(huggingface, pictures_of_folder, files, tmp_path):
    import pyarrow.parquet
    from datasets.table import embed_table_storage

    embedded = pictures_of_folder.with_format("arrow").map(embed_table_storage, batched=True).with_format(None)
    embedded.to_parquet(tmp_path / "0.parquet")
    cells = pyarrow.parquet.read_table(tmp_path / "0.parquet")["image"].to_pylist()
    assert sorted(cell["bytes"] for cell in cells) == sorted(path.read_bytes() for path in files)
    cache = {"split": "train", "cache_dir": str(tmp_path)}
    again = huggingface.load_dataset("parquet", data_files=str(tmp_path / "0.parquet"), **cache)
    right = expected_of(files)
    for cell, row in zip(cells, again, strict=True):
        assert np.array_equal(row["image"], right[cell["path"]])


def test_a_column_of_bytes_becomes_pictures(huggingface, files, tmp_path):
    plain = huggingface.Dataset.from_dict({"image": [path.read_bytes() for path in files]})
    for path, row in zip(files, plain.cast_column("image", image()), strict=True):
        assert np.array_equal(row["image"], codec.decode(path, output="numpy"))
    plain.cast_column("image", image()).to_parquet(tmp_path / "1.parquet")
    stored = huggingface.Dataset.from_parquet(str(tmp_path / "1.parquet"), cache_dir=str(tmp_path))
    assert [cell["bytes"] for cell in stored.cast_column("image", image(decode=False))["image"]] == plain["image"][:]


def test_shards_have_a_column_of_pictures(huggingface, shard, files, tmp_path):
    options = {"split": "train", "cache_dir": str(tmp_path)}
    dataset = huggingface.load_dataset("webdataset", data_files=str(shard), **options)
    assert isinstance(dataset.features["seg.aec"], huggingface.Image)
    for path, row in zip(files, dataset, strict=True):
        assert np.array_equal(row["seg.aec"], codec.decode(path, output="numpy"))


def test_a_transform_gives_tensors_of_paths_and_of_bytes(huggingface, pictures_of_folder, files):
    from codec.plugins.huggingface import decoder

    by_path = pictures_of_folder.cast_column("image", image(decode=False))
    by_bytes = huggingface.Dataset.from_dict({"image": [path.read_bytes() for path in files], "n": range(len(files))})
    for dataset in (by_path, by_bytes):
        rows = dataset.with_transform(decoder(output="torch", at_least=(12, 12)))
        assert sorted(row["image"].shape for row in rows) == sorted((3, (h + 1) // 2, (w + 1) // 2) for h, w in SIZES)
    assert rows[1]["n"] == 1 and set(by_path.with_transform(decoder())[0]) == {"image", "label"}


# --------------------------------------------------------------------------------- worker processes that are spawned


def test_spawned_workers_know_aec_if_they_begin_with_register(huggingface, files):
    """For datasets that read through Pillow and know nothing of `codec`."""
    paths = huggingface.Dataset.from_dict({"image": list(map(str, files))})
    options = {"num_workers": 1, "multiprocessing_context": "spawn", "timeout": 60}
    loader = DataLoader(paths.cast_column("image", image()), None, worker_init_fn=register, collate_fn=dict, **options)
    for path, row in zip(files, loader, strict=True):
        assert np.array_equal(row["image"], codec.decode(path, output="numpy"))


def test_our_own_functions_bring_codec_to_a_process_that_gets_them(files):
    functions = partial(aec_torchvision.loader, at_least=(9, 9)), aec_webdataset.handler, PictureDecoder(), register
    script = f"import pickle, sys; pickle.loads({pickle.dumps(functions)!r}); from PIL import Image; "
    script += f"Image.open({str(files[0])!r}).load(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
