"""The codecs of bench: their names, their settings, and what becomes of those that are missing."""

import io
import math
import pickle
import sys

import numpy as np
import pytest
from bench_package import module, picture
from PIL import Image

codecs, rivals = module("codecs"), module("rivals")


def codec_or_skip(name):
    codec = codecs.make_codec(name)
    if codec.missing():
        pytest.skip(codec.missing())
    return codec


@pytest.mark.parametrize("name", [name for name in rivals.RIVALS if name != "avif-speed0"])
def test_rivals_round_trip_with_rising_size_and_survive_pickling(name):
    codec = pickle.loads(pickle.dumps(codec_or_skip(name)))
    image = picture(41, 50)
    sizes = [len(codec.encode(image, quality)) for quality in (codec.qualities[0], 40, codec.qualities[-1])]
    assert sizes == sorted(set(sizes))
    decoded = codec.decode(codec.encode(image, codec.qualities[-1]))
    assert decoded.shape == image.shape and decoded.dtype == np.uint8
    assert 10 * math.log10(255**2 / ((image - decoded.astype(float)) ** 2).mean()) > 28
    about = codec.about()
    assert any(character.isdigit() for character in about.version) and about.settings and about.threads >= 1


def test_settings_tell_rivals_of_one_format_apart():
    made = {name: codec_or_skip(name).about().settings for name in rivals.RIVALS}
    threads = rivals.cores()
    for name, speed, subsampling, tune in (
        ("avif", 6, "4:4:4", "iq"),
        ("avif-ss2", 6, "4:4:4", "ssimulacra2"),
        ("avif-psnr", 6, "4:4:4", "psnr"),
        ("avif-420", 6, "4:2:0", "iq"),
        ("avif-ss2-420", 6, "4:2:0", "ssimulacra2"),
        ("avif-speed0", 0, "4:4:4", "iq"),
    ):
        chosen = f"speed={speed} subsampling={subsampling} autotiling=False max_threads={threads} tune={tune}"
        assert made[name] == f"AVIF codec=aom {chosen}"
    heic = "HEIC subsampling=4:4:4 matrix_coefficients=6 full_range_flag=1 preset=slow tune="
    assert (made["heic"], made["heic-psnr"]) == (heic + "ssim", heic + "psnr")
    assert "irreversible=True mct=1" in made["jpeg2000"] and "effort=7" in made["jxl"]
    assert len(set(made.values())) == len(made)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("jpeg", {}),  # Pillow's default, not merely what we think it is
        ("jpeg-opt", {"optimize": True, "progressive": True}),
        ("jpeg-444", {"subsampling": 0}),
    ],
)
def test_jpeg_is_what_pillow_writes_when_called_directly(name, options):
    out = io.BytesIO()
    Image.fromarray(picture(41, 50)).save(out, "JPEG", quality=60, **options)
    codec = codecs.make_codec(name)
    assert codec.encode(picture(41, 50), 60) == out.getvalue()
    assert np.array_equal(codec.decode(out.getvalue()), np.array(Image.open(out)))


@pytest.mark.parametrize("quality", [20, 80])
def test_avif_has_the_tune_that_pillow_has_unasked(quality):
    avif = codec_or_skip("avif")
    out = io.BytesIO()
    how = {"codec": "aom", "speed": 6, "autotiling": False}
    Image.fromarray(picture(64, 80)).save(out, "AVIF", quality=quality, subsampling="4:4:4", **how)
    assert avif.encode(picture(64, 80), quality) == out.getvalue()


def test_each_avif_writes_files_of_its_own_and_of_its_subsampling():
    names = [name for name in rivals.RIVALS if name.startswith("avif") and name != "avif-speed0"]
    files = {name: codec_or_skip(name).encode(picture(64, 80), 60) for name in names}
    assert len(set(files.values())) == len(names) == 5
    for name, data in files.items():
        flags = data[data.index(b"av1C") + 6]  # after the version and the level: 4:2:0 is 1 and 1, 4:4:4 is 0 and 0
        assert flags >> 2 & 3 == (3 if name.endswith("-420") else 0)


def test_an_avif_whose_tune_libaom_does_not_know_says_so():
    avif = codec_or_skip("avif")
    assert rivals._avif("taste").missing() == f"this Pillow's libaom ({avif.about().version}) has no tune=taste"


def test_jxl_is_what_its_plugin_saves():
    jxl = codec_or_skip("jxl")
    import pillow_jxl  # noqa: F401

    out = io.BytesIO()
    Image.fromarray(picture(41, 50)).save(out, "JXL", quality=60)
    assert jxl.encode(picture(41, 50), 60) == out.getvalue()


def test_jpeg2000s_quality_is_its_psnr():
    jpeg2000 = codec_or_skip("jpeg2000")
    image = picture(128, 128)
    for quality in (28, 36):
        decoded = jpeg2000.decode(jpeg2000.encode(image, quality)).astype(float)
        assert 10 * math.log10(255**2 / ((image - decoded) ** 2).mean()) == pytest.approx(quality, abs=1)


def test_heic_is_444_of_8_bits_in_jpegs_colours_and_what_libheif_does_by_default():
    heic = codec_or_skip("heic")
    import pillow_heif

    image = picture(64, 80)
    data = heic.encode(image, 50)
    info = pillow_heif.open_heif(io.BytesIO(data)).info
    assert (info["chroma"], info["bit_depth"]) == (444, 8)
    assert (info["nclx_profile"]["matrix_coefficients"], info["nclx_profile"]["full_range_flag"]) == (6, 1)
    default = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(image)).save(default, quality=50, chroma=444)
    assert data == default.getvalue()


def test_heics_colour_conversion_does_not_limit_the_psnr():
    heic = codec_or_skip("heic")
    image = picture(64, 80)
    decoded = heic.decode(heic.encode(image, 100)).astype(float)
    assert 10 * math.log10(255**2 / ((image - decoded) ** 2).mean()) > 45


@pytest.mark.parametrize(
    ("name", "package"), [("heic", "pillow_heif"), ("heic-psnr", "pillow_heif"), ("jxl", "pillow_jxl")]
)
def test_a_rival_whose_package_is_missing_says_so(monkeypatch, name, package):
    monkeypatch.setitem(sys.modules, package, None)  # what makes an import fail
    assert "does not import" in codecs.make_codec(name).missing()


def test_a_format_missing_from_pillow_is_said(monkeypatch):
    monkeypatch.setattr(rivals.features, "get_supported", lambda: ["jpg"])
    assert codecs.make_codec("avif").missing().endswith("is built without AVIF (11.3 or newer has it)")
    assert codecs.make_codec("jpeg").missing() is None


# ---------------------------------------------------------------------------------------------------------- aec


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("jpg", "unknown codec 'jpg'; allowed: aec"),
        ("aec-e1", "unknown codec"),
        ("jpeg+e=3", "jpeg takes no options"),
        ("aec+speed=3", r"'speed=3' is not KEY=VALUE of aec; keys: e \(effort\), model, device"),
        ("aec+e", "'e' is not KEY=VALUE"),
        ("aec+model=", "'model=' is not KEY=VALUE"),
        ("aec+e=0", r"effort '0': allowed are 1\.\.9"),
        ("aec+e=fast", "effort 'fast'"),
        ("aec+e=1+effort=2", "effort is given twice"),
    ],
)
def test_names_that_are_none_are_refused(name, message):
    with pytest.raises(ValueError, match=message):
        codecs.make_codec(name)


def test_aec_is_called_through_the_public_api(monkeypatch):
    import codec

    calls = []
    monkeypatch.setattr(codec, "encode", lambda image, **options: calls.append(options) or b"file", raising=False)
    gray = Image.new("L", (5, 4))
    monkeypatch.setattr(codec, "decode", lambda data, **options: calls.append(options) or gray, raising=False)
    ours = codecs.make_codec("aec+effort=7+model=m.safetensors+device=cpu")
    assert ours.encode(picture(4, 5), 30) == b"file"
    assert ours.decode(b"file").shape == (4, 5, 3)
    where = {"device": "cpu", "model": "m.safetensors"}
    assert calls == [{"quality": 30, "effort": 7, **where}, where]
    codecs.make_codec("aec").encode(picture(4, 5), 40)
    assert calls[-1] == {"quality": 40, "device": "cpu", "model": None}


def test_aec_goes_by_its_code_model_and_effort(tiny_model):
    path, _ = tiny_model
    plain, hard, other = (
        codecs.make_codec(name).about() for name in ("aec+device=cpu", "aec+device=cpu+e=7", f"aec+model={path}")
    )
    assert plain.version == hard.version and "code " in plain.version
    assert len({plain.settings, hard.settings, other.settings}) == 3
    assert "device=cpu" in plain.settings and "effort=7" in hard.settings and "model=tiny" in other.settings
    assert "effort=2" in plain.settings  # the default is spelled out too
    assert codecs.make_codec("aec+device=cpu").resident() is None


def test_a_model_or_device_that_is_not_there_is_said():
    assert "nowhere.safetensors" in codecs.make_codec("aec+model=nowhere.safetensors").missing()
    assert "tpu" in codecs.make_codec("aec+device=tpu").missing()
