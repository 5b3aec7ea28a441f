"""The npm package in node: the same pixels, errors and metadata as Python's."""

import base64
import io
import json
import re
import struct
import subprocess
import zlib
from pathlib import Path

import container
import numpy as np
import photos
import pytest
from PIL import Image
from web_package import GOLDEN, build, hash_of, in_node

import codec
from codec.coding import model_file, model_search, packed_model

CODES = {
    "NotAecError": "not-aec",
    "UnsupportedVersionError": "version",
    "TruncatedError": "truncated",
    "CorruptError": "corrupt",
    "LimitError": "limit",
}
FILES = sorted(GOLDEN.glob("v2-*.aec"))
LOSSY = [path for path in FILES if "stored-jpeg" in path.name]  # node has no decoder for what is inside


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return build(tmp_path_factory)


@pytest.fixture(autouse=True)
def golden_models(monkeypatch):
    monkeypatch.setenv("AEC_MODELS", str(GOLDEN))


def job(path: Path, call: str = "decode", n_bytes: int | None = None, **options) -> dict:
    return {"file": str(path), "bytes": n_bytes, "call": call, "options": options}


def in_python(path: Path, **options) -> np.ndarray:
    return codec.decode(path.read_bytes(), device="cpu", output="numpy", **options)


def depth_of(path: Path) -> int:
    return codec.inspect(path.read_bytes()).depth


def check(package: Path, jobs: list[dict], wanted: list[np.ndarray], workers: int = 2) -> None:
    for asked, found, samples in zip(jobs, in_node(package, jobs, workers), wanted, strict=True):
        about = (Path(asked["file"]).name, asked["options"], found)
        assert (found.get("width"), found.get("height")) == (samples.shape[1], samples.shape[0]), about
        assert found["data"] == hash_of(samples), about


def test_golden_files_have_the_same_pixels(package):
    paths = [path for path in FILES if path not in LOSSY]
    check(package, [job(path, depth=depth_of(path)) for path in paths], [in_python(path) for path in paths])


def test_other_depths_regions_and_scales_have_the_same_pixels(package):
    jobs, wanted = [], []
    for path in FILES:
        header = codec.inspect(path.read_bytes())
        if path in LOSSY or header.width < 8 or header.height < 8:
            continue
        x, y = header.width // 3, header.height // 4
        width, height = header.width - x - 1, header.height // 2
        jobs.append(job(path, depth=24 - header.depth))
        wanted.append(in_python(path, depth=24 - header.depth))
        jobs.append(job(path, region={"x": x, "y": y, "width": width, "height": height}))
        wanted.append(in_python(path, region=(x, y, width, height), depth=8))
        for scale in (2, 4, 8):
            jobs.append(job(path, scale=scale))
            wanted.append(in_python(path, scale=1 / scale, depth=8))
    check(package, jobs, wanted)


def test_photographs_of_the_shipped_model_have_the_same_pixels(package, tmp_path):
    """Odd sizes, gray, 16 bits, a map, parts, and tiles that two workers share."""
    large, deep = photos.photo(700, 811, seed=1), photos.photo(65, 97, seed=2).astype(np.uint16) * 257
    cases = {
        "large": codec.encode(large, 40, model="eye", device="cpu"),
        "gray": codec.encode(large[:101, :67, 0], 80, model="eye", device="cpu"),
        "deep": codec.encode(deep, 90, model="eye", device="cpu"),
        "map": codec.encode(large[:130, :190], 30, model="eye", device="cpu", roi=[((10, 20, 80, 60), 40)]),
        "parts": codec.encode(large[:257, :129], 50, model="eye", device="cpu", progressive=True),
        "exact": codec.encode(large[:41, :53], lossless=True),
        "near": codec.encode(large[:41, :53], max_error=2),
    }
    paths = {name: tmp_path / f"{name}.aec" for name in cases}
    for name, path in paths.items():
        path.write_bytes(cases[name])
    jobs = [job(path, depth=depth_of(path)) for path in paths.values()]
    check(package, jobs, [in_python(path) for path in paths.values()])
    jobs = [job(paths["large"], scale=2), job(paths["large"], region={"x": 3, "y": 5, "width": 800, "height": 690})]
    wanted = [in_python(paths["large"], scale=0.5), in_python(paths["large"], region=(3, 5, 800, 690))]
    check(package, jobs, wanted)
    check(package, jobs, wanted, workers=1)


@pytest.mark.exhaustive
@pytest.mark.parametrize("quality", [10, 50, 95])
def test_kodak_has_the_same_pixels(package, tmp_path, quality):
    pictures = sorted(photos.KODAK.glob("*.png"))
    if not pictures:
        pytest.skip(f"no pictures in {photos.KODAK}")
    paths = [tmp_path / f"{picture.stem}.aec" for picture in pictures]
    for picture, path in zip(pictures, paths, strict=True):
        samples = np.asarray(Image.open(picture).convert("RGB"))
        path.write_bytes(codec.encode(samples, quality, model="eye", device="cpu"))
    check(package, [job(path) for path in paths], [in_python(path) for path in paths])


def test_partial_files_have_the_same_pixels(package):
    path = GOLDEN / "v2-tiny2-parts-150x100.aec"
    data = path.read_bytes()
    jobs, wanted = [], []
    for n_bytes in range(len(data) * 2 // 3, len(data), 17):
        jobs.append(job(path, n_bytes=n_bytes, partial=True))
        wanted.append(codec.decode(data[:n_bytes], device="cpu", output="numpy", allow_partial=True))
    check(package, jobs, wanted)
    assert all(found["missing"] for found in in_node(package, jobs))


def test_bad_files_have_the_same_kind_of_error(package, tmp_path):
    data = (GOLDEN / "v2-tiny2-alpha-1x1.aec").read_bytes()
    bad = [data[:n] for n in range(len(data))]
    bad += [data[:i] + bytes([data[i] ^ 1 << bit]) + data[i + 1 :] for i in range(len(data)) for bit in (0, 7)]
    jobs, wanted = [], []
    for i, changed in enumerate(bad):
        path = tmp_path / f"{i}.aec"
        path.write_bytes(changed)
        jobs.append(job(path, "inspect"))
        with pytest.raises(codec.errors.FormatError) as error:
            codec.inspect(changed)
        wanted.append(CODES[type(error.value).__name__])
    assert [found.get("error") for found in in_node(package, jobs)] == wanted


def test_metadata_and_stages_are_told(package):
    path = GOLDEN / "v2-tiny2-everything-90x70.aec"
    (found,) = in_node(package, [job(path, "inspect")])
    metadata = codec.read_metadata(path.read_bytes())
    for name in ("icc", "exif", "xmp"):
        assert base64.b64decode(found["metadata"][name] or "") == (getattr(metadata, name) or b"")
    assert (found["width"], found["height"], found["alpha"]) == (90, 70, True)
    parts = GOLDEN / "v2-tiny2-parts-150x100.aec"
    (found,) = in_node(package, [job(parts, "inspect")])
    assert found["stages"] == sorted(found["stages"])
    assert (len(found["stages"]), found["stages"][-1]) == (found["parts"], parts.stat().st_size)


def test_a_blob_has_the_pixels_and_the_profile(package):
    path, deep = GOLDEN / "v2-tiny2-alpha-1x1.aec", GOLDEN / "v2-tiny2-deep-33x70.aec"
    jobs = [job(path, "toBlob"), job(deep, "toBlob"), job(deep, "toBlob", depth=8), job(LOSSY[0], "toBlob")]
    found = in_node(package, jobs)
    assert [one["type"] for one in found] == ["image/png"] * 3 + ["image/jpeg"]
    png, deep_png, png_of_deep, jpeg = [base64.b64decode(one["file"]) for one in found]
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png))), in_python(path))
    assert deep_png[24:26] == bytes([16, 6])
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png_of_deep)))[..., :3], in_python(deep, depth=8))
    assert jpeg in LOSSY[0].read_bytes()


def test_wrong_calls_name_what_is_allowed(package):
    path = GOLDEN / "v2-tiny2-33x70.aec"
    jobs = [job(path, scale=3), job(path, depth=10), job(path, region={"x": 1, "y": 0, "width": 33, "height": 1})]
    found = in_node(package, [*jobs, job(path, maxPixels=100), job(LOSSY[0])])
    assert [one["error"] for one in found] == ["TypeError"] * 3 + ["limit", "embedded"]
    assert "1, 2, 4, 8 are allowed" in found[0]["message"]
    assert "33x70" in found[2]["message"]


def test_a_stored_picture_beyond_the_addresses_of_32_bits_is_refused(package, tmp_path):
    """Its samples take 2^32 bytes and a few more."""
    width, height = 65535, 16385
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", b""), (b"IEND", b"")]
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
    path, more_and_stored = tmp_path / "large.aec", bytes([8, 8])
    head = b"\xd7AEC\x02" + bytes(4) + b"\0" + more_and_stored + container.leb(width) + container.leb(height)
    path.write_bytes(container.assemble(head, png))
    part = {"x": 0, "y": 0, "width": 1, "height": 1}
    (found,) = in_node(package, [job(path, region=part, maxPixels=2**31)])
    assert found["error"] == "memory"


def test_the_snippets_of_the_documentation_run(package, tmp_path):
    page = (Path(__file__).parents[1] / "docs" / "javascript.md").read_text()
    snippets = re.findall(r"^```js\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(snippets) == 2
    (tmp_path / "node_modules" / "@aec").mkdir(parents=True)
    (tmp_path / "node_modules" / "@aec" / "decode").symlink_to(package)
    data = codec.encode(photos.photo(257, 300), 50, model="eye", device="cpu")
    (tmp_path / "photo.aec").write_bytes(data)
    shim = "globalThis.fetch = async (name) => new Response((await import('node:fs')).readFileSync(name));\n"
    (tmp_path / "snippets.mjs").write_text(shim + "".join(snippets) + "console.log(width, height, small.width);\n")
    command = ["node", "--preserve-symlinks", "snippets.mjs"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert (run.returncode, run.stdout) == (0, "300 257 75\n"), run.stderr


def test_a_damaged_model_is_refused(package, tmp_path):
    name = f"{model_file.load(model_search.find('eye')).id.hex()}.aecm"
    packed = bytearray((package / "models" / name).read_bytes())
    packed[-1000] ^= 1
    broken = tmp_path / "broken"
    broken.mkdir()
    for path in package.glob("*"):
        if path.is_file():
            (broken / path.name).write_bytes(path.read_bytes())
    (broken / "models").mkdir()
    (broken / "models" / name).write_bytes(packed)
    path = tmp_path / "x.aec"
    path.write_bytes(codec.encode(photos.photo(16, 16), 50, model="eye", device="cpu"))
    found, without = in_node(broken, [job(path), job(GOLDEN / "v2-tiny2-exact-19x13.aec")])
    assert found["error"] == "model"
    assert without["width"] == 19


def test_the_packed_model_holds_the_decoders_half_and_is_smaller():
    """Unpacking is tested with the pixels above: the module compares the model's hash."""
    file = model_file.load(model_search.find(str(GOLDEN / "tiny2.safetensors")))
    packed = packed_model.pack(file)
    assert packed[:4] == packed_model.MAGIC
    plain = zlib.decompressobj().decompress(packed[16:])
    head = json.loads(plain[12 : 12 + int.from_bytes(plain[4:12], "little")])
    assert {name.split(".")[0] for name in head} == {"__metadata__", "entropy", "levels", "synthesis", "tables"}
    assert len(packed) < sum(v.nbytes for v in file.tensors.values())


def test_the_decoder_takes_at_most_300_000_bytes(package):
    assert (package / "aec.wasm").stat().st_size <= 300_000
