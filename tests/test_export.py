"""What `aec decompress` writes: what was kept exactly stays exact, and no kind of file changes a picture unasked."""

import io
from pathlib import Path

import numpy as np
import photos
import pytest
from PIL import Image, ImageCms
from shell import here

import codec
from codec.container.metadata import Metadata
from codec.io import OutputError
from codec.picture import export

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
Image.init()
SUFFIXES = sorted(
    suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.SAVE and kind != "AEC"
)
NOISE = np.random.default_rng(0).integers(0, 256, (300, 520, 4), np.uint8)  # of more pixels than an icon may have


def written(tmp_path, suffix: str, samples: np.ndarray, *options: str, **encode) -> tuple[int, np.ndarray | None]:
    """Exit code, and what any reader finds in the file."""
    packed, out = tmp_path / "x.aec", tmp_path / f"x{suffix}"
    packed.write_bytes(codec.encode(samples, **encode))
    code = here("decompress", packed, "-o", out, *options)
    if code or suffix == ".npy":
        return code, None if code else np.load(out)
    with Image.open(io.BytesIO(out.read_bytes())) as image:
        mode = {2: "L", 3: "RGB", 4: "RGBA"}[2 if samples.ndim == 2 else samples.shape[2]]
        return code, np.asarray(image.convert(mode))


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".npy"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_picture_kept_exactly_stays_so_or_is_refused_with_a_way_out(tmp_path, capsys, suffix, channels):
    samples = NOISE[..., :channels].squeeze()
    code, found = written(tmp_path, suffix, samples, lossless=True, metadata=Metadata(icc=SRGB))
    if Image.registered_extensions().get(suffix) == "JPEG" and channels < 4:
        assert code == 0  # which nobody takes for exact
    elif code == 0:
        assert np.array_equal(found, samples)
    else:
        assert code == 7 and not (tmp_path / f"x{suffix}").exists()
        assert ".png" in (err := capsys.readouterr().err) or "cannot be written" in err or "cannot write" in err


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif", ".npy"])
@pytest.mark.parametrize("metadata", [Metadata(), Metadata(icc=SRGB)])
@pytest.mark.parametrize("options", [(), ("--metadata", "none"), ("--crop", "10,20,100,90")])
def test_the_common_kinds_keep_exactly_what_was_kept(tmp_path, suffix, metadata, options):
    code, found = written(tmp_path, suffix, NOISE, *options, lossless=True, metadata=metadata)
    assert code == 0
    assert np.array_equal(found, NOISE[20:110, 10:110] if "--crop" in options else NOISE)


@pytest.mark.parametrize("suffix", [".ico", ".icns", ".gif", ".pdf"])
def test_kinds_that_change_any_picture_are_refused_also_of_a_networks(tmp_path, capsys, suffix):
    assert written(tmp_path, suffix, photos.photo(64, 96), quality=50) == (7, None)
    assert "would change the picture" in (err := capsys.readouterr().err) and ".png, .webp, .tif or .npy" in err


def test_a_networks_picture_takes_few_bytes_as_webp_and_avif(tmp_path):
    photo = photos.photo(64, 96)
    for suffix in (".webp", ".avif"):
        assert written(tmp_path, suffix, photo, quality=50)[0] == 0
        assert (tmp_path / f"x{suffix}").stat().st_size < photo.size / 2


def test_lists_of_kinds_name_suffixes_that_mean_them():
    for kinds in (export.EXACT, export.LOSSY, export.WITH_ALPHA, export.DEEP):
        for kind, suffix in kinds.items():
            assert export.kind_of(Path(f"x{suffix}")) == kind


def test_a_qoi_file_does_not_say_that_its_light_is_linear(tmp_path):
    assert written(tmp_path, ".qoi", NOISE[..., :3], lossless=True)[0] == 0
    assert (tmp_path / "x.qoi").read_bytes()[13] == 0


def test_check_tells_before_anything_is_decoded():
    for kind in ("GIF", "ICO", "AVIF"):
        with pytest.raises(OutputError, match="would change the picture"):
            export.check(kind, False, False, 8, exact=True)
    assert export.check("AVIF", False, False, 8, exact=False) == "pil"
