"""Pillow opens and saves .aec files once `codec` is imported: `Image.open("x.aec")`, `image.save("x.aec", quality=60)`.

Opening reads the header and the metadata. The network runs when pixels are first asked for, on the device that
`codec.decode` finds by itself; a stored picture needs none. `Image.thumbnail` and `draft` decode at 1/2, 1/4 or 1/8 of
the size.

Pillow has no mode for colour of 16 bits, and halves it in loading, which `save` cannot undo; nor can it what Pillow
overlooks in TIFF files, and in PNG files of 2 or 4 bits that name a gray as transparent. `codec.encode` of the array,
or of the file as `Image.open` gives it, keeps all of it.
"""

from dataclasses import replace
from typing import IO, TYPE_CHECKING, Any

from PIL import Image, ImageFile

from .. import api
from ..coding.model_search import name_of
from ..container import format, metadata
from ..container.format import Header, Section
from ..errors import AecError, FormatError, TruncatedError
from ..opened import AecFile

if TYPE_CHECKING:
    from PIL._imaging import PixelAccess

HEADER_BYTES = 64  # a header has at most 23, and little metadata often fits as well
SAVE_OPTIONS = ("quality", "effort", "lossless", "alpha_quality", "bits", "device", "model", *api.TARGETS)
INFO = {"icc": "icc_profile", "exif": "exif", "xmp": "xmp"}  # names of ours and of Pillow's


class AecImageFile(ImageFile.ImageFile):
    """An opened .aec file; `info` has icc_profile, exif, xmp and dpi where the file has them, and of what a network
    coded the quality, 1..100, and the model: its name, or where it is not at hand its id.

    Errors are Pillow's: what has no sound header is a SyntaxError when opened, which `Image.open` makes an
    UnidentifiedImageError; damaged data, a model that is not at hand, and 16 bits with more than one channel, for which
    Pillow has no mode, are an OSError when pixels are asked for. Which sizes are too large is up to Pillow's
    Image.MAX_IMAGE_PIXELS alone.
    """

    format = "AEC"
    format_description = "aec learned image"

    def _open(self) -> None:
        file = self._file()
        start = file.read(HEADER_BYTES)
        try:
            header = format.read_header(start)
        except FormatError as e:
            raise SyntaxError(str(e)) from e
        self._size = header.width, header.height
        self._mode = ("LA" if header.gray else "RGBA") if header.alpha else ("L" if header.gray else "RGB")
        if header.depth == 16 and self._mode == "L":
            self._mode = "I;16"
        self._shrink = 1
        self.info.update(_info(header, start, file))
        self.tile = [ImageFile._Tile("aec", (0, 0, *self.size), 0, None)]  # what Pillow takes for pixels not yet read

    def draft(self, mode: str | None, size: tuple[int, int] | None) -> tuple[str, tuple[int, int, float, float]] | None:
        """Have `load` decode a smaller picture, not below `size`. The mode stays; once is enough, as for JPEG."""
        if size is None or not self.tile or self._shrink != 1:
            return None
        width, height = self.size
        ratio = min(width // max(1, size[0]), height // max(1, size[1]))
        self._shrink = next(shrink for shrink in (8, 4, 2, 1) if shrink <= max(1, ratio))
        self._size = -(-width // self._shrink), -(-height // self._shrink)
        return self.mode, (0, 0, width / self._shrink, height / self._shrink)

    def load(self) -> "PixelAccess | None":
        if self.tile:
            data = self._read()
            try:
                picture = api.decode(data, max_pixels=None, scale=1 / self._shrink)
            except (AecError, ValueError) as e:
                raise OSError(str(e)) from e
            self.im, self.tile, self.readonly = picture.im, [], 0
            self._release()
        return super().load()

    def load_seek(self, pos: int) -> None:
        """Having it tells `ImageFile.Parser` to wait for the whole file."""

    def verify(self) -> None:
        """Compare all checksums, without decoding. Closes the file, as Pillow's own do. Raises OSError."""
        try:
            if self.tile:
                AecFile(self._read(), max_pixels=None).verify()
        except FormatError as e:
            raise OSError(str(e)) from e
        finally:
            super().verify()

    def _file(self) -> IO[bytes]:
        if self.fp is None:
            raise ValueError("the file was closed before its pixels were read")
        return self.fp

    def _read(self) -> bytes:
        file = self._file()
        file.seek(0)
        return file.read()

    def _release(self) -> None:
        if self._exclusive_fp and self.fp is not None:
            self.fp.close()
        self.fp = None


def _info(header: Header, start: bytes, fp: IO[bytes]) -> dict[str, Any]:
    """What `info` says, from the file's first bytes and as many more as it takes. Damage is left for `load` to tell."""
    made: dict[str, Any] = {}
    if not header.stored:
        made = {"quality": header.quality, "model": name_of(header.model_id) or header.model_id.hex()}
    try:
        if header.stored:
            found = AecFile(start + fp.read(), max_pixels=None).metadata
        else:
            found = metadata.unpacked(_sections(start, fp))
    except FormatError:
        return made
    return made | metadata.as_info(found)


def _sections(start: bytes, fp: IO[bytes]) -> dict[str, Section]:
    while True:
        try:
            return format.read_sections(start)
        except TruncatedError:
            more = fp.read(len(start))
            if not more:
                raise
            start += more


def _save(image: Image.Image, fp: IO[bytes], filename: str | bytes) -> None:
    """What `image.save` calls. Options are `codec.encode`'s, and exif, icc_profile and xmp; others are ignored.

    Where one of these three is absent it is the image's own; None or an empty one leaves it out. The orientation that
    the EXIF names is applied to the pixels, also if the EXIF itself is left out. Errors are those of `codec.encode`.
    """
    options = {name: image.encoderinfo[name] for name in SAVE_OPTIONS if name in image.encoderinfo}
    given = {ours: image.encoderinfo[name] for ours, name in INFO.items() if name in image.encoderinfo}
    if given:
        image, options["metadata"] = _with_metadata(image, given)
    fp.write(api.encode(image, **options))


def _save_all(image: Image.Image, fp: IO[bytes], filename: str | bytes) -> None:
    """What `image.save(.., save_all=True)` calls: as `_save`, for one picture. Raises ValueError for more of them."""
    n = getattr(image, "n_frames", 1) + len(list(image.encoderinfo.get("append_images", ())))
    if n > 1:
        raise ValueError(f"{n} pictures: an .aec file holds one; save each as a file of its own, without save_all")
    _save(image, fp, filename)


def _with_metadata(
    image: Image.Image, given: dict[str, "bytes | str | Image.Exif | None"]
) -> tuple[Image.Image, metadata.Metadata]:
    """The same pixels, lying as the metadata says that goes with them; and what of it is to be kept."""
    from ..picture import carried

    blocks = {ours: _block(value) for ours, value in given.items()}
    whole = replace(carried.of(image), **{ours: block for ours, block in blocks.items() if block})
    image = image._new(image.im)
    for name in ("exif", "xmp"):  # not the profile: by its own a picture becomes sRGB
        image.info.pop(name, None)
    image.info.update(metadata.as_info(replace(whole, icc=None)))
    kept = [ours for ours in INFO if blocks.get(ours, True)]
    return image, whole.only(kept)


def _block(value: "bytes | str | Image.Exif | None") -> bytes | None:
    value = value.tobytes() if isinstance(value, Image.Exif) else value
    value = value.encode() if isinstance(value, str) else value
    return value and value.removeprefix(metadata.EXIF_PREFIX)


def register() -> None:
    Image.register_open(AecImageFile.format, AecImageFile, lambda prefix: prefix.startswith(format.MAGIC))
    Image.register_save(AecImageFile.format, _save)
    Image.register_save_all(AecImageFile.format, _save_all)
    Image.register_extension(AecImageFile.format, ".aec")
    Image.register_mime(AecImageFile.format, "image/x-aec")
