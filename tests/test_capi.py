"""The C library against Python: the same pixels, parts of pictures, and errors."""

import ctypes
import dataclasses
import itertools
import json
import os
import random
import subprocess
import threading
from pathlib import Path

import capi
import numpy as np
import photos
import pytest
from PIL import Image

import codec
from codec import errors
from codec.coding import model_search, tiles
from codec.container import format
from codec.picture.pixels import to_pixels

HERE = Path(__file__).parent
GOLDEN = HERE / "golden"
FILES = sorted(GOLDEN.glob("*.aec"))
KODAK = HERE.parents[1] / "shared" / "data" / "test" / "kodak"
SHRINKS = {1: 1, 2: 1 / 2, 4: 1 / 4, 8: 1 / 8}
GRAY, GRAY_ALPHA, RGB, RGBA = 1, 2, 3, 4
PNG, WEBP, JPEG = 1, 2, 3


def model_of(path: Path) -> Path:
    return GOLDEN / json.loads(path.with_suffix(".json").read_text())["model"]


@pytest.fixture(scope="module")
def models(c_library):
    return {path: c_library.model(path) for path in GOLDEN.glob("tiny?.safetensors")}


@pytest.fixture(scope="module")
def eye(c_library):
    return c_library.model(model_search.find(None))


def golden(name: str) -> Path:
    return GOLDEN / f"v2-{name}.aec"


# ------------------------------------------------------------------ whole pictures and parts of them


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_golden_files_have_the_same_pixels(c_library, models, path):
    decoded = c_library.open(path).decode(models[model_of(path)], padding=6)
    expected = json.loads(path.with_suffix(".json").read_text())
    wanted = codec.decode(path.read_bytes(), "cpu", model_of(path), output="numpy")
    assert decoded.shape == wanted.shape and decoded.dtype == wanted.dtype
    if "samples" in expected:
        assert np.array_equal(decoded, wanted)
    else:  # JPEG decoders may differ by a level
        assert np.abs(decoded.astype(int) - wanted).max() <= 1


@pytest.mark.parametrize("path", [p for p in FILES if "jpeg" not in p.stem], ids=lambda p: p.stem)
def test_regions_smaller_versions_and_depths_are_those_of_python(c_library, models, path):
    file, data, rng = c_library.open(path), path.read_bytes(), random.Random(path.stem)
    header = codec.inspect(data)
    for shrink, depth in itertools.product(SHRINKS, (8, 16)):
        x, y = rng.randrange(header.width), rng.randrange(header.height)
        region = x, y, rng.randint(1, header.width - x), rng.randint(1, header.height - y)
        for area in (None, region):
            options = dict(zip(("x", "y", "width", "height"), area, strict=True)) if area else {}
            decoded = file.decode(models[model_of(path)], shrink=shrink, depth=depth, threads=3, **options)
            wanted = codec.decode(
                data, "cpu", model_of(path), output="numpy", region=area, scale=SHRINKS[shrink], depth=depth
            )
            assert np.array_equal(decoded, wanted), (shrink, depth, area)


def test_windows_tiles_and_their_halos_fit_together(c_library, models):
    """A picture of four windows, in tiles that are not aligned with them, and its parts over their borders."""
    path = GOLDEN / "tiny2.safetensors"
    encoder = tiles.encoder_for(path, "cpu")
    for side, first in ((4096, 0), (256, 2)):
        pixels = to_pixels(photos.photo(1100, 1060, seed=3))
        header = dataclasses.replace(pixels.header(40, encoder.file.id, side), first=first)
        parts = tiles.encode(encoder, pixels, header, 2)
        header = dataclasses.replace(header, parts=len(parts[0]))
        data = format.write(header, [part for of_tiles in zip(*parts, strict=True) for part in of_tiles])
        file = c_library.open(data)
        wanted = codec.decode(data, "cpu", path, output="numpy")
        assert np.array_equal(file.decode(models[path]), wanted)
        assert np.array_equal(file.decode(models[path], threads=1), wanted)
        decoded = file.decode(models[path], x=1000, y=1001, width=60, height=99)
        assert np.array_equal(decoded, wanted[1001:, 1000:])


def test_a_photograph_of_the_shipped_model_has_the_same_pixels(c_library, eye):
    picture = Image.open(KODAK / "kodim23.png").crop((100, 60, 420, 300)) if KODAK.exists() else None
    image = np.asarray(picture) if picture else photos.photo(240, 320, seed=1)
    for quality in (30, 85):
        data = codec.encode(image, quality=quality)
        for shrink in SHRINKS:
            wanted = codec.decode(data, "cpu", output="numpy", scale=SHRINKS[shrink])
            assert np.array_equal(c_library.open(data).decode(eye, shrink=shrink), wanted)


@pytest.mark.parametrize(
    "name", ["tiny2-gray-17x3", "tiny2-alpha-tiles-150x100", "tiny2-33x70", "tiny2-everything-90x70"]
)
def test_channels_are_as_they_are_asked_for(c_library, models, name):
    path = golden(name)
    file, model = c_library.open(path), models[model_of(path)]
    whole, info = file.decode(model), file.info
    whole = whole.reshape(*whole.shape[:2], -1)
    colours = whole[..., : whole.shape[2] - info.alpha]
    opaque = np.full((*whole.shape[:2], 1), np.iinfo(whole.dtype).max, whole.dtype)
    alpha = whole[..., -1:] if info.alpha else opaque
    rgb = np.broadcast_to(colours, (*colours.shape[:2], 3))
    assert np.array_equal(file.decode(model, channels=RGB), rgb)
    assert np.array_equal(file.decode(model, channels=RGBA), np.concatenate([rgb, alpha], 2))
    if info.gray:
        assert np.array_equal(file.decode(model, channels=GRAY), colours[..., 0])
        assert np.array_equal(file.decode(model, channels=GRAY_ALPHA), np.concatenate([colours, alpha], 2))
    else:
        with pytest.raises(ValueError, match="gray channels of a picture in colour"):
            file.decode(model, channels=GRAY)


# ------------------------------------------------------------------ partial files


@pytest.mark.parametrize("name", ["tiny2-parts-150x100", "tiny4-passes-150x100", "tiny2-everything-90x70"])
def test_what_there_is_of_a_file_is_what_python_shows(c_library, models, name):
    path = golden(name)
    data, rng = path.read_bytes(), random.Random(name)
    compared = 0
    for n in sorted(rng.sample(range(len(data)), 25)):
        damaged = bytearray(data)
        damaged[n] ^= 0x40
        for some in (data[:n], bytes(damaged)):
            try:
                wanted = codec.decode(some, "cpu", model_of(path), output="numpy", allow_partial=True)
            except errors.FormatError as error:
                with pytest.raises(type(error)):
                    c_library.open(some, allow_partial=1).decode(models[model_of(path)])
                continue
            file = c_library.open(some, allow_partial=1)
            assert np.array_equal(file.decode(models[model_of(path)]), wanted)
            compared += 1
    assert compared > 10


def test_a_missing_tile_of_an_exact_picture_is_gray_and_opaque(c_library):
    data = golden("tiny2-exact-alpha-tiles-70x9").read_bytes()
    file = c_library.open(data[:-3], allow_partial=1)
    assert [(m.what, m.x, m.parts, m.of) for m in file.missing] == [(0, 64, 0, 1)]
    wanted = codec.decode(data[:-3], output="numpy", allow_partial=True)
    assert np.array_equal(file.decode(), wanted)


def test_the_stages_of_a_file_in_parts_are_where_python_says(c_library, models):
    path = golden("tiny2-parts-150x100")
    data = path.read_bytes()
    file = c_library.open(data)
    found = [file.stage(part) for part in range(file.info.parts)]
    assert found == format.stages(data) and found[-1] == len(data)
    with pytest.raises(ValueError, match="part is 3: the file has 3"):
        file.stage(3)
    coarse = c_library.open(data[: found[0]], allow_partial=1)
    assert {(m.parts, m.of) for m in coarse.missing} == {(1, 3)}


# ------------------------------------------------------------------ metadata and pictures inside


def test_extra_blocks_are_given_by_their_types(c_library):
    image = Image.fromarray(photos.photo(20, 30, seed=0))
    data = codec.encode(image, lossless=True)
    layout = format.read(data)
    packed = b"Abcd\x03xyzEmpt\x00"
    data = format.write(layout.header, list(layout.payloads), (), {"extra": packed})
    file = c_library.open(data)
    assert (file.extra("Abcd"), file.extra("Empt"), file.extra("None")) == (b"xyz", b"", None)
    assert file.metadata(capi.KINDS.index("extra")) == packed


def test_stored_pictures_are_given_as_they_are(c_library):
    for name, kind in (("stored-png-9x7", PNG), ("stored-webp-30x20", WEBP), ("stored-jpeg-20x30", JPEG)):
        data = golden(f"tiny2-{name}").read_bytes()
        assert c_library.open(data).embedded() == (codec.open(data).stored_file, kind)
        assert (c_library.open(data).info.tile, c_library.open(data).info.tiles) == (0, 1)
    assert c_library.open(golden("tiny2-33x70")).embedded() == (None, 0)


def test_pictures_inside_are_decoded_by_the_callers_decoder(c_library, models):
    seen = []

    def decode(_, given):
        picture = given.contents
        seen.append((picture.kind, picture.width, picture.height, picture.depth))
        samples = np.full((picture.height, picture.width, 4), 9, f"uint{picture.depth}")
        ctypes.memmove(picture.pixels, samples.ctypes.data, samples.nbytes)
        assert picture.stride == samples.strides[0]
        return 0

    path = golden("tiny2-alpha-tiles-150x100")
    file, mine = c_library.open(path), capi.EMBEDDED(decode)
    alpha = file.decode(models[model_of(path)], embedded=mine)[..., 3]
    assert {kind for kind, *_ in seen} == {WEBP} and (alpha == 9).all()
    seen.clear()
    with pytest.raises(errors.CorruptError, match="a picture with an alpha channel: the header says otherwise"):
        c_library.open(golden("tiny2-stored-webp-30x20")).decode(embedded=mine)
    assert seen == [(WEBP, 30, 20, 8)]


@pytest.mark.parametrize(
    ("status", "error"),
    [(4, errors.CorruptError), (7, NotImplementedError), (9, MemoryError), (10, OSError), (11, InterruptedError)]
    + [(12, AssertionError)]
    + [(status, ValueError) for status in (8, 77, -1, 2**31 - 1)],
)
def test_errors_of_the_callers_decoder_are_those_of_the_call(c_library, status, error):
    refuse = capi.EMBEDDED(lambda user, picture: status)
    with pytest.raises(error):
        c_library.open(golden("tiny2-stored-webp-30x20")).decode(embedded=refuse)


def test_the_callers_decoder_is_told_of_cmyk(c_library, tmp_path):
    for mode, cmyk in (("CMYK", 1), ("RGB", 0)):
        path, seen = tmp_path / f"{mode}.jpg", []
        Image.new(mode, (16, 8)).save(path)
        data = format.write(format.Header(16, 8, 0, bytes(4), stored=True, tile=64), [path.read_bytes()])

        def decode(_, given, seen=seen):
            seen.append(given.contents.cmyk)
            ctypes.memset(given.contents.pixels, 255, 16 * 8 * 4)
            return 0

        assert (c_library.open(data).decode(embedded=capi.EMBEDDED(decode)) == 255).all() and seen == [cmyk]
        if cmyk and c_library.c.aec_has_embedded_decoder(JPEG):
            with pytest.raises(NotImplementedError, match="CMYK"):
                c_library.open(data).decode()


def test_kinds_that_are_unknown_have_no_decoder(c_library):
    assert [c_library.c.aec_has_embedded_decoder(kind) for kind in (-1, 0, 4, 1000)] == [0] * 4


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WebP"])
def test_the_orientation_of_a_stored_file_is_applied(c_library, kind, orientation, tmp_path):
    exif, path = Image.Exif(), tmp_path / "picture"
    exif[0x0112] = orientation
    image = Image.fromarray(photos.photo(20, 13, seed=orientation))
    image.save(path, kind, exif=exif, **({"lossless": True} if kind == "WebP" else {}))
    source = path.read_bytes()
    swapped = orientation >= 5
    header = format.Header(20 if swapped else 13, 13 if swapped else 20, 0, bytes(4), stored=True, tile=64)
    data = format.write(header, [source], metadata={"extra": b"Abcd\0"} if orientation % 2 else {})
    wanted = codec.decode(data, output="numpy")
    decoded = c_library.open(data).decode()
    assert np.abs(decoded.astype(int) - wanted).max() <= (kind == "JPEG")
    part = c_library.open(data).decode(x=3, y=5, width=6, height=4, shrink=2)
    assert part.shape == (3, 4, 3)
    assert np.abs(part.astype(int) - codec.decode(data, output="numpy", region=(3, 5, 6, 4), scale=1 / 2)).max() <= (
        kind == "JPEG"
    )


# ------------------------------------------------------------------ models


def test_a_model_without_the_encoders_half_decodes(c_library, tmp_path):
    from safetensors import safe_open
    from safetensors.numpy import save

    path = GOLDEN / "tiny2.safetensors"
    with safe_open(path, "np") as file:
        kept = {k: file.get_tensor(k) for k in file.keys() if not k.startswith(("analysis.", "hyper_analysis."))}
        data = save(kept, file.metadata())
    model = c_library.model(data)
    file = golden("tiny2-33x70")
    assert np.array_equal(c_library.open(file).decode(model), codec.decode(file.read_bytes(), "cpu", path, "numpy"))
    assert model.id == c_library.model(path).id == codec.inspect(file.read_bytes()).model_id
    # Also where the memory is not aligned.
    shifted = ctypes.create_string_buffer(b"x" + data, len(data) + 1)
    handle = ctypes.c_void_p()
    c_library.call(
        "aec_model_open_memory", ctypes.c_void_p(ctypes.addressof(shifted) + 1), ctypes.c_size_t(len(data)),
        ctypes.c_uint32(1), ctypes.byref(handle),
    )  # fmt: skip
    assert capi.Model(c_library, handle).id == model.id


def test_damaged_models_are_refused(c_library):
    data, rng = (GOLDEN / "tiny2.safetensors").read_bytes(), random.Random(1)
    encoders = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    for n in (0, 7, 8, 100, len(data) - 1):
        with pytest.raises(errors.ModelError):
            c_library.model(data[:n])
    head = 8 + int.from_bytes(data[:8], "little")
    spans = [
        (head + v["data_offsets"][0], head + v["data_offsets"][1])
        for k, v in encoders.items()
        if k.startswith(("analysis.", "hyper_analysis."))
    ]
    for at in rng.sample(range(len(data)), 200):
        changed = bytearray(data)
        changed[at] ^= 1 << rng.randrange(8)
        if any(a <= at < b for a, b in spans) or at < head:
            continue  # only encoders need it; or a name that may mean the same
        with pytest.raises(errors.ModelError):
            c_library.model(bytes(changed))


def test_errors_of_models_say_what_is_wrong(c_library, models, tmp_path):
    file = c_library.open(golden("tiny2-33x70"))
    with pytest.raises(errors.ModelError, match="the file needs model abfdc0ff"):
        file.decode(None)
    with pytest.raises(errors.ModelError, match="was written with model abfdc0ff, not"):
        file.decode(models[GOLDEN / "tiny4.safetensors"])
    with pytest.raises(errors.ModelError, match=f"model abfdc0ff, which is not at hand: looked in {tmp_path}"):
        c_library.find_model(bytes.fromhex("abfdc0ff"), str(tmp_path))
    with pytest.raises(errors.ModelError, match="a model for collections of small pictures"):
        c_library.model(GOLDEN / "tiny-collection.safetensors")
    with pytest.raises(OSError, match="nowhere"):
        c_library.model(tmp_path / "nowhere")


def test_a_model_is_found_by_its_id(c_library, monkeypatch, tmp_path):
    wanted = codec.inspect(golden("tiny4-33x70").read_bytes()).model_id
    (tmp_path / "broken.safetensors").write_bytes(b"\xff" * 100)
    assert c_library.find_model(wanted, f"{tmp_path}:{GOLDEN}").id == wanted
    # A damaged copy in a folder before does not end the search, but is named if there is no other.
    damaged = bytearray((GOLDEN / "tiny4.safetensors").read_bytes())
    damaged[-1] ^= 1
    (tmp_path / "tiny4.safetensors").write_bytes(damaged[:-1])
    assert c_library.find_model(wanted, f"{tmp_path}:{GOLDEN}").id == wanted
    with pytest.raises(errors.ModelError, match=f"^{tmp_path / 'tiny4.safetensors'}: "):
        c_library.find_model(wanted, str(tmp_path))


# ------------------------------------------------------------------ arguments, limits, threads


def test_wrong_arguments_are_refused_by_name(c_library, models):
    path = golden("tiny2-33x70")
    file, model = c_library.open(path), models[model_of(path)]
    for options, words in [
        ({"shrink": 3}, "shrink is 3: allowed are 1, 2, 4 and 8"),
        ({"depth": 12}, "depth is 12"),
        ({"channels": 5}, "channels is 5"),
        ({"width": 34, "height": 1}, r"region of 34x1 at \(0, 0\): must be within the picture of 33x70"),
        ({"x": 2**32 - 1, "width": 2, "height": 1}, "region"),
        ({"x": 1}, "region of 0x0"),
    ]:
        with pytest.raises(ValueError, match=words):
            file.decode(model, **options)
    out = ctypes.create_string_buffer(33 * 70 * 3)
    for stride, size, words in [(98, 10**6, "stride is 98: at least 99"), (99, 99 * 70 - 1, "size is 6929")]:
        with pytest.raises(ValueError, match=words):
            c_library.call(
                "aec_decode_picture", file.handle, model.handle, None, out, *map(ctypes.c_size_t, (stride, size))
            )
    with pytest.raises(ValueError, match="options must be initialised"):
        c_library.call("aec_get_pixels", file.handle, ctypes.byref(capi.DecodeOptions()), None)
    with pytest.raises(ValueError, match="NULL"):
        c_library.call("aec_open_memory", None, ctypes.c_size_t(5), None, ctypes.byref(ctypes.c_void_p()))
    with pytest.raises(OSError, match="nowhere"):
        c_library.open(Path("/nowhere/x.aec"))


def test_structs_of_other_sizes_are_understood(c_library):
    """Those of a program that was compiled with an older header, and of one with a newer one."""
    file = c_library.open(golden("tiny2-33x70"))
    for size in (ctypes.sizeof(ctypes.c_size_t) + 8, ctypes.sizeof(capi.Info) + 40):
        memory = (ctypes.c_uint8 * 200)(*([0xEE] * 200))
        c_library.c.aec_info_init(memory, ctypes.c_size_t(size))
        c_library.call("aec_get_info", file.handle, memory)
        info = capi.Info.from_buffer(memory)
        assert (info.struct_size, info.width, info.height) == (size, 33, 70)
        assert set(memory[size:]) == {0xEE}


def test_larger_structs_are_taken_only_if_what_is_unknown_is_0(c_library):
    file, n = c_library.open(golden("tiny2-stored-png-9x7")), ctypes.sizeof(capi.DecodeOptions)
    memory = (ctypes.c_uint8 * (n + 16))()
    c_library.c.aec_decode_options_init(memory, ctypes.c_size_t(n + 16))
    sizes = c_library.made(capi.PixelSizes)
    c_library.call("aec_get_pixels", file.handle, memory, ctypes.byref(sizes))
    assert (sizes.width, sizes.height) == (9, 7)
    memory[n + 11] = 1
    with pytest.raises(ValueError, match=f"options has a value at byte {n + 11}: this library knows the first {n}"):
        c_library.call("aec_get_pixels", file.handle, memory, ctypes.byref(sizes))


def test_messages_are_utf_8_and_keep_the_reason_behind_a_long_path(c_library):
    for name in ("x" * 200, "é" * 100, "漢" * 67):
        path = "/nowhere/" + "/".join([name] * 4)
        with pytest.raises(OSError, match=r"^/nowhere/.* \.\.\. .*: No such file or directory$") as caught:
            c_library.open(Path(path))
        assert 500 <= len(str(caught.value).encode()) < 508 and "?" not in str(caught.value)
    with pytest.raises(OSError, match=r"^/nowhere/\?\?é: No such"):
        c_library.open(Path(os.fsdecode(b"/nowhere/\xc3\xff\xc3\xa9")))


def test_a_caller_can_stop_the_decoding_and_hears_of_its_progress(c_library, models):
    path, heard = golden("tiny2-tiles-150x100"), []
    file, model = c_library.open(path), models[model_of(path)]
    go_on = capi.PROGRESS(lambda user, share: heard.append(share) or 0)
    file.decode(model, progress=go_on)
    assert heard == [1.0]
    with pytest.raises(InterruptedError):
        file.decode(model, progress=capi.PROGRESS(lambda user, share: 1))


def test_progress_is_told_for_alpha_and_for_stored_pictures_too(c_library, models):
    path, heard = golden("tiny2-alpha-tiles-150x100"), []
    file, model = c_library.open(path), models[model_of(path)]
    file.decode(model, progress=capi.PROGRESS(lambda user, share: heard.append(share) or 0))
    assert len(heard) == 1 + file.info.tiles and heard == sorted(set(heard)) and heard[-1] == 1
    file.decode(model, channels=RGB, progress=capi.PROGRESS(lambda user, share: heard.append(share) or 0))
    assert heard[1 + file.info.tiles :] == [1]
    with pytest.raises(InterruptedError):
        file.decode(model, progress=capi.PROGRESS(lambda user, share: share > 0.9))
    heard.clear()
    stored = c_library.open(golden("tiny2-stored-png-9x7"))
    stored.decode(progress=capi.PROGRESS(lambda user, share: heard.append(share) or 0))
    assert heard == [0, 1]
    with pytest.raises(InterruptedError):
        stored.decode(progress=capi.PROGRESS(lambda user, share: 1))


def test_threads_share_a_file_and_a_model(c_library, models):
    path = golden("tiny2-alpha-tiles-150x100")
    file, model = c_library.open(path), models[model_of(path)]
    wanted, found = file.decode(model), []
    threads = [threading.Thread(target=lambda: found.append(file.decode(model, threads=2))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6 and all(np.array_equal(decoded, wanted) for decoded in found)


def test_the_library_exports_nothing_but_its_functions(c_build):
    done = subprocess.run(["nm", "-D", "--defined-only", c_build / "libaecodec.so"], capture_output=True, text=True)
    names = {line.split()[-1] for line in done.stdout.splitlines()}
    assert names and all(name.startswith("aec_") for name in names)
    header = (HERE.parent / "csrc" / "capi" / "aec.h").read_text()
    assert all(f"{name}(" in header for name in names)


# What Debian's libaec0 exports (nm -D): the Adaptive Entropy Coding of CCSDS, which HDF5, ecCodes and others link.
OF_ANOTHER_LIBRARY = {"aec_buffer_decode", "aec_buffer_encode", "aec_decode", "aec_encode"}
OF_ANOTHER_LIBRARY |= {f"aec_{way}_{what}" for way in ("decode", "encode") for what in ("init", "end")}


def test_no_name_is_one_of_the_library_for_adaptive_entropy_coding(c_build):
    done = subprocess.run(["nm", "-D", "--defined-only", c_build / "libaecodec.so"], capture_output=True, text=True)
    names = {line.split()[-1].split("@")[0] for line in done.stdout.splitlines()}
    assert "aec_decode_picture" in names and not names & OF_ANOTHER_LIBRARY
