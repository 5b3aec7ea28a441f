"""The package against `reader`, which was written from FORMAT.md alone: both read every file to the same picture."""

import dataclasses
import hashlib
import io
import json
import random
import zlib
from pathlib import Path

import numpy as np
import pytest
import reader
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from reader_coder import Payload

import codec
from codec.coding import engine, exact, rans
from codec.container import format
from codec.container.metadata import Metadata
from codec.picture import code_points, stored
from codec.picture.pixels import to_pixels

GOLDEN = Path(__file__).with_name("golden")
FACTS = {path.stem: json.loads(path.read_text()) for path in sorted(GOLDEN.glob("*.json"))}
MODELS = {name: reader.load_model(GOLDEN / name) for name in ("tiny2.safetensors", "tiny4.safetensors")}
TINY = "tiny2.safetensors"
EXIF = bytes.fromhex("49492a0008000000010012010300010000000100000000000000")


def golden(name: str) -> bytes:
    return (GOLDEN / f"{name}.aec").read_bytes()


def flat(samples: np.ndarray) -> np.ndarray:
    """As the package returns them: [H, W] if gray and opaque."""
    return samples[:, :, 0] if samples.shape[2] == 1 else samples


def sha256(*arrays: np.ndarray) -> str:
    return hashlib.sha256(b"".join(a.astype(a.dtype.newbyteorder("<")).tobytes() for a in arrays)).hexdigest()


def blocks(data: bytes) -> dict[str, bytes]:
    """The metadata that the package reads, without a profile that it makes of code points."""
    return code_points.blocks(codec.read_metadata(data), codec.inspect(data).gray)


def outcome(action):
    """What an action returns, or the name of its error."""
    try:
        return action()
    except (codec.FormatError, codec.ModelError, reader.FormatError) as error:
        return type(error).__name__


def assert_same(data: bytes, model: str = TINY, k: int = 1, partial: bool = False) -> None:
    """Both readers make the same samples of a file, or have the same error."""
    ours = outcome(lambda: flat(reader.read(data, MODELS[model], partial, k).samples))
    theirs = outcome(lambda: codec.decode(data, "cpu", GOLDEN / model, "numpy", scale=1 / k, allow_partial=partial))
    if isinstance(ours, str) or isinstance(theirs, str):
        assert ours == theirs
    else:
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


def picture(*shape: int, depth: int = 8) -> np.ndarray:
    """uint8 or uint16 [H, W] or [H, W, 2|3|4]: noise on a slope, so that no exact file is smaller than a network's."""
    rng = np.random.default_rng(sum(shape))
    slope = np.linspace(0.1, 0.9, shape[1])[None, :, None] if len(shape) == 3 else np.linspace(0.1, 0.9, shape[1])
    return ((slope + rng.uniform(-0.1, 0.1, shape)) * (2**depth - 1)).astype(np.uint8 if depth == 8 else np.uint16)


# ------------------------------------------------------------------ whole files


@pytest.mark.parametrize("name", FACTS)
def test_golden_files_have_the_latents_samples_and_metadata_that_the_page_gives_them(name):
    facts = FACTS[name]
    found = reader.read(golden(name), MODELS[facts["model"]])
    assert found.complete and {kind: block.hex() for kind, block in found.metadata.items()} == facts["metadata"]
    if "latents_sha256" in facts:
        assert sha256(*found.latents) == facts["latents_sha256"]
    if "samples" in facts:
        samples = flat(found.samples)
        assert [*samples.shape] == facts["samples"]["shape"] and str(samples.dtype) == facts["samples"]["type"]
        assert sha256(samples) == facts["samples"]["sha256"]
    else:  # a JPEG, which libraries may decode with a difference of a level
        expected = np.asarray(Image.open(GOLDEN / f"{name}.png")).astype(int)
        assert np.abs(found.samples.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("k", [2, 4, 8])
@pytest.mark.parametrize("name", [name for name, facts in FACTS.items() if "latents_sha256" in facts])
def test_smaller_versions_of_golden_files_are_the_same(name, k):
    assert_same(golden(name), FACTS[name]["model"], k)


OPTIONS = {
    "rgb": (picture(70, 90, 3), {}),
    "coarse": (picture(70, 90, 3), {"quality": 5}),
    "gray": (picture(70, 90), {"quality": 40}),
    "alpha": (picture(70, 90, 4), {"quality": 60}),
    "gray with alpha": (picture(30, 90, 2), {"quality": 60, "alpha_quality": 50}),
    "16 bits": (picture(50, 70, 3, depth=16), {"quality": 90}),
    "16 bits with alpha": (picture(50, 70, 4, depth=16), {}),
    "10 bits": (picture(50, 70, 3, depth=16) >> 6, {"bits": 10}),
    "regions": (picture(100, 150, 3), {"roi": [((10, 10, 30, 60), 20), ((70, 0, 80, 100), -60)]}),
    "two passes": (picture(100, 150, 3), {"progressive": True, "quality": 95}),
    "all": (
        picture(100, 150, 4, depth=16),
        {"progressive": True, "roi": [((0, 0, 64, 64), 24)], "metadata": Metadata(b"profile" * 60, EXIF, b"<x/>")},
    ),
}


@pytest.mark.parametrize("side", [64, 1024])
@pytest.mark.parametrize("name", OPTIONS)
def test_files_with_every_option_are_read_the_same(name, side, monkeypatch):
    image, options = OPTIONS[name]
    monkeypatch.setattr(codec.api, "TILE", side)
    # Such small pictures would be stored, because the tiny models do not code well.
    monkeypatch.setattr("codec.picture.stored.may_take_less", lambda pixels, n_bytes: False)
    data = codec.encode(image, device="cpu", model=GOLDEN / TINY, **options)
    assert not codec.inspect(data).stored
    assert reader.read(data, MODELS[TINY]).metadata == blocks(data)
    for k in (1, 2):
        assert_same(data, k=k)


def of_pillow(image: np.ndarray, kind: str, **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind, **options)
    return file.getvalue()


SMALL = picture(20, 30, 3)
PICTURES = {
    "rgb": SMALL,
    "gray": SMALL[..., 0].copy(),
    "two colours": (SMALL[..., 0] > 120).astype(np.uint8) * 255,
    "few colours": SMALL // 64 * 64,
    "alpha": picture(20, 30, 4),
    "16 bits": picture(20, 30, 3, depth=16),
    "16 bits with alpha": picture(20, 30, 4, depth=16),
    "16 bits of gray": picture(20, 30, depth=16),
}
STORED = {name: stored.lossless(to_pixels(image), 2, exact=True) for name, image in PICTURES.items()}
STORED["with metadata"] = stored.lossless(
    dataclasses.replace(to_pixels(SMALL), metadata=Metadata(None, EXIF, b"<x/>")), 2, True
)
EXACT = {f"{name}, {n}": exact.file(to_pixels(image), n, 64) for name, image in PICTURES.items() for n in (0, 3)}


@pytest.mark.parametrize("name", STORED)
def test_stored_pictures_are_read_the_same(name):
    data = STORED[name]
    assert codec.inspect(data).stored
    assert reader.read(data, MODELS[TINY]).metadata == blocks(data)
    assert_same(data)


@pytest.mark.parametrize("name", EXACT)
def test_exact_pictures_are_read_the_same(name):
    assert codec.inspect(EXACT[name]).exact
    assert_same(EXACT[name])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_the_orientation_of_a_stored_file_is_applied(kind, orientation):
    exif = Image.Exif()
    exif[0x112] = orientation
    file = of_pillow(SMALL, kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))
    data = stored.original(to_pixels(Image.open(io.BytesIO(file))), file)
    assert reader.read(data, MODELS[TINY]).metadata == blocks(data)
    assert_same(data)


def test_metadata_sections_that_are_damaged_still_hide_those_of_the_stored_file():
    exif = Image.Exif()
    exif[0x112] = 6
    header = format.Header(30, 20, 0, bytes(4), tile=64, stored=True)
    data = format.write(header, [of_pillow(SMALL, "PNG", exif=exif)], metadata={"exif": EXIF})
    at = data.index(EXIF)
    for changed in (data, data[:at] + b"M" + data[at + 1 :]):
        assert reader.read(changed, MODELS[TINY], partial=True).samples.shape == (20, 30, 3)
        assert_same(changed, partial=True)
    assert codec.open(changed, allow_partial=True).metadata == Metadata()


def test_a_shipped_model_is_read_the_same():
    path = next(Path(codec.__file__).parent.joinpath("models").glob("*.safetensors"))
    data = codec.encode(picture(33, 17, 3), 70, "cpu", path)
    assert not codec.inspect(data).stored
    found = reader.read(data, reader.load_model(path)).samples
    np.testing.assert_array_equal(found, codec.decode(data, "cpu", path, "numpy"))


# ------------------------------------------------------------------ lanes and parts


class Recorded(Payload):
    """Remembers the indices and symbols of each segment of the last payload."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        Recorded.segments = []

    def segment(self, indices):
        symbols = super().segment(indices)
        Recorded.segments.append((np.asarray(indices), symbols))
        return symbols


def recoded(monkeypatch, lanes_log2: int, in_parts: bool) -> bytes:
    """A golden file of one tile, coded once more with another number of lanes."""
    data, model = golden("v2-tiny2-33x70"), MODELS[TINY]
    with monkeypatch.context() as patched:
        patched.setattr(reader, "Payload", Recorded)
        reader.read(data, model)
    indices, symbols = (np.concatenate(x) for x in zip(*Recorded.segments, strict=True))
    parts = rans.encode_parts(
        symbols.astype(np.int16),
        indices.astype(np.uint8),
        [len(i) for i, _ in Recorded.segments],
        engine.load(GOLDEN / TINY).tables,
        lanes_log2,
    )
    header = dataclasses.replace(codec.inspect(data), parts=len(parts) if in_parts else 1)
    return format.write(header, parts if in_parts else [rans.join(parts)])


@pytest.mark.parametrize("in_parts", [False, True])
@pytest.mark.parametrize("lanes_log2", range(13))
def test_any_number_of_lanes_is_read_the_same_also_where_something_is_missing(monkeypatch, lanes_log2, in_parts):
    data = recoded(monkeypatch, lanes_log2, in_parts)
    np.testing.assert_array_equal(
        reader.read(data, MODELS[TINY]).samples, reader.read(golden("v2-tiny2-33x70"), MODELS[TINY]).samples
    )
    layout = format.read(data)
    begin = layout.overhead_bytes
    ends = begin + np.cumsum([len(part) for part in layout.payloads])
    rng = random.Random(lanes_log2)
    cuts = [rng.randrange(begin, len(data)) for _ in range(3)] + [end - rng.randrange(2) for end in ends]
    for cut in cuts:
        assert_same(data[:cut], partial=True)
    for end in ends:
        assert_same(data[: end - 1] + bytes([data[end - 1] ^ 1]) + data[end:], partial=True)


# ------------------------------------------------------------------ damaged files


def damaged(data: bytes):
    """Every beginning of a file, one byte too many, and every changed bit."""
    yield from (data[:n] for n in range(len(data)))
    yield data + b"\0"
    for i in range(8 * len(data)):
        changed = bytearray(data)
        changed[i // 8] ^= 1 << i % 8
        yield bytes(changed)


@pytest.mark.parametrize("name", ["1x1", "alpha-1x1", "hdr-33x70"])
def test_every_cut_and_every_changed_bit_is_the_same_error(name):
    for data in damaged(golden(f"v2-tiny2-{name}")):
        ours, theirs = outcome(lambda: reader.look(data)), outcome(lambda: codec.open(data))  # noqa: B023
        assert isinstance(ours, str) and ours == theirs


def mended(data: bytes) -> bytes:
    """The same file with the checksums that it should have, and as long as its table says, if it has a table."""
    source = reader.Bytes(data, reader.TruncatedError)
    try:
        head = reader.read_head(source, 1 << 24)
        table = reader.read_table(source, head)
    except reader.FormatError:
        return data
    at, front = source.at, data[: head.size]
    entries, parts = [], []
    for entry in table:
        parts.append(data[at : at + entry.size].ljust(min(entry.size, 4000), b"\0"))
        entries.append(entry.raw + zlib.crc32(front + entry.raw + parts[-1]).to_bytes(4, "little"))
        at += entry.size
    return b"".join([front, *entries, *parts])


NETWORKS = [name for name, facts in FACTS.items() if "latents_sha256" in facts]


@settings(max_examples=250)
@given(st.sampled_from(NETWORKS), st.booleans(), st.booleans(), st.integers(0, 2**32))
def test_files_that_no_encoder_writes_are_the_same_error_or_picture(name, front_only, mend, seed):
    rng, data = random.Random(seed), bytearray(golden(name))
    end = format.read(bytes(data)).overhead_bytes if front_only else len(data)
    for _ in range(rng.randint(1, 3)):
        i, kind = rng.randrange(min(end, len(data))), rng.randrange(4)
        if kind == 0:
            data[i] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[i] = rng.choice([0, 1, 5, 127, 128, 255])
        elif kind == 2:
            data.insert(i, rng.randrange(256))
        else:
            del data[i]
    data = mended(bytes(data)) if mend else bytes(data)
    found = outcome(lambda: reader.look(data, 1 << 24))
    if isinstance(found, str):
        assert found == outcome(lambda: codec.open(data, 1 << 24))
    elif found[0].width * found[0].height < 1 << 16:
        assert_same(data, FACTS[name]["model"])


@settings(max_examples=60)
@given(st.sampled_from(NETWORKS), st.booleans(), st.floats(0, 1))
def test_what_there_is_of_a_damaged_file_is_the_same_picture(name, cut, where):
    data = golden(name)
    i = int(where * (8 * len(data) - 1))
    changed = data[: i // 8] + bytes([data[i // 8] ^ 1 << i % 8]) + data[i // 8 + 1 :]
    assert_same(data[: i // 8] if cut else changed, FACTS[name]["model"], partial=True)


@settings(max_examples=100)
@given(st.sampled_from(sorted(MODELS)), st.integers(0, 5) | st.integers(6, 255), st.integers(1, 100), st.integers(0))
def test_random_words_are_the_same_symbols_whatever_overflows(model, lanes_log2, quality, seed):
    rng = np.random.default_rng(seed)
    states = rng.integers(1 << 16, 1 << 32, 1 << min(lanes_log2, 5), "<u4")
    payload = bytes([lanes_log2]) + states.tobytes() + rng.bytes(900)
    header = format.Header(60, 50, quality, MODELS[model].id, bool(seed & 1), 64, depth=8 << (seed >> 1 & 1))
    # A file that ends early may hold anything in its last payload, because nothing checks that.
    assert_same(format.write(header, [payload])[:-1], model, partial=True)
