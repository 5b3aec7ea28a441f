"""The Pillow plugin. After `import codec`, `Image.open("x.aec")` and `image.save("x.aec", quality=60)` work.

Opening a file reads only its header and metadata. The network runs when the pixels are first needed, on the device that
`codec.decode` chooses by default; a stored picture needs no network. `Image.thumbnail` and `draft` decode at 1/2, 1/4
or 1/8 of the size.

Pillow has no mode for 16-bit colour, and reduces it to 8 bits when it loads a picture, so `save` gets only 8 bits.
Pillow also loses some information of TIFF files, and of PNG files with 2 or 4 bits and a transparent gray. Use
`codec.encode` with the array, or with the unloaded image as `Image.open` returns it, to keep all of this.
"""

from dataclasses import replace
from typing import IO, TYPE_CHECKING, Any

from PIL import Image, ImageFile

from .. import api
from ..coding.model_search import name_of
from ..container import format, metadata
from ..container.format import Header, Section
from ..errors import AecError, FormatError, TruncatedError
from ..opened import AecFile, shrink_above
from ..picture import code_points

if TYPE_CHECKING:
    from PIL._imaging import PixelAccess

HEADER_BYTES = 64  # a header has at most 26 bytes; often a small block of metadata fits too
SAVE_OPTIONS = (
    *("quality", "effort", "alpha_quality", "bits", "roi", "progressive", "device", "model"),
    *api.AIMS,
)
INFO = {"icc": "icc_profile", "exif": "exif", "xmp": "xmp"}  # our names of metadata -> Pillow's names


class AecImageFile(ImageFile.ImageFile):
    """An opened .aec file.

    `info` has icc_profile, exif, xmp, dpi, cicp and significant_bits, as far as the file has them. For pictures coded
    by a network it also has the quality, 1..100, and the model, which is its name or, if the model is not available,
    its id.

    Errors follow Pillow's conventions. An invalid header raises SyntaxError on opening, which `Image.open` turns into
    UnidentifiedImageError. Loading the pixels raises OSError if the data is damaged, if the model is not available, or
    for 16 bits with more than one channel, for which Pillow has no mode. With `ImageFile.LOAD_TRUNCATED_IMAGES` a
    file that is cut off or damaged gives what there is of it. The size is only limited by Pillow's
    Image.MAX_IMAGE_PIXELS.
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
        self.tile = [ImageFile._Tile("aec", (0, 0, *self.size), 0, None)]  # tells Pillow that pixels are not loaded yet

    def draft(self, mode: str | None, size: tuple[int, int] | None) -> tuple[str, tuple[int, int, float, float]] | None:
        """Make `load` decode a reduced picture that is not smaller than `size`, as for JPEG.

        The mode does not change. Only the first call has an effect.

        Returns:
            (mode, box of the picture in the reduced one), or None if nothing changes.
        """
        if size is None or not self.tile or self._shrink != 1:
            return None
        width, height = self.size
        self._shrink = shrink_above(size, self.size)
        self._size = -(-width // self._shrink), -(-height // self._shrink)
        return self.mode, (0, 0, width / self._shrink, height / self._shrink)

    def load(self) -> "PixelAccess | None":
        if self.tile:
            data = self._read()
            try:
                partial = ImageFile.LOAD_TRUNCATED_IMAGES
                picture = api.decode(data, max_pixels=None, scale=1 / self._shrink, allow_partial=partial)
            except (AecError, ValueError) as e:
                raise OSError(str(e)) from e
            self.im, self.tile, self.readonly = picture.im, [], 0
            self._release()
        return super().load()

    def load_seek(self, pos: int) -> None:
        """Do nothing. The existence of this method makes `ImageFile.Parser` wait for the complete file."""

    def verify(self) -> None:
        """Compare all checksums, without decoding, and close the file, as other Pillow plugins do.

        Raises OSError if the file is damaged.
        """
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
    """Return the contents of `info`. Damaged metadata is left out here, and `load` reports the damage.

    Args:
        header: of the file.
        start: the first bytes of the file.
        fp: the file, positioned after `start`; only as much is read as the metadata needs.
    """
    made: dict[str, Any] = {}
    if header.by_network:
        made = {"quality": header.quality, "model": name_of(header.model_id) or header.model_id.hex()}
    try:
        if header.stored:
            found = AecFile(start + fp.read(), max_pixels=None).metadata
        else:
            found = code_points.of_sections(_sections(start, fp), header)
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
    """Save an image; `image.save` calls this.

    The options are those of `codec.encode`, and exif, icc_profile and xmp; others are ignored. Each of these three
    defaults to the image's own metadata, and None or an empty value removes it. Code points, in the image's
    `info["cicp"]`, are kept unless icc_profile is given. The orientation in the EXIF is applied to the pixels, even if
    the EXIF is removed. Errors are those of `codec.encode`.
    """
    options = {name: image.encoderinfo[name] for name in SAVE_OPTIONS if name in image.encoderinfo}
    given = {ours: image.encoderinfo[name] for ours, name in INFO.items() if name in image.encoderinfo}
    if given:
        image, options["metadata"] = _with_metadata(image, given)
    fp.write(api.encode(image, **options))


def _save_all(image: Image.Image, fp: IO[bytes], filename: str | bytes) -> None:
    """Save an image as `_save` does; `image.save(.., save_all=True)` calls this.

    Raises ValueError if there is more than one picture.
    """
    n = getattr(image, "n_frames", 1) + len(list(image.encoderinfo.get("append_images", ())))
    if n > 1:
        raise ValueError(f"{n} pictures: an .aec file holds one; save each as a file of its own, without save_all")
    _save(image, fp, filename)


def _with_metadata(
    image: Image.Image, given: dict[str, "bytes | str | Image.Exif | None"]
) -> tuple[Image.Image, metadata.Metadata]:
    """Combine an image with the metadata in the options of `save`.

    Args:
        given: the options exif, icc_profile and xmp, by our names of them.

    Returns:
        (the image with the EXIF and XMP whose orientation is to be applied, the metadata to write).
    """
    from ..picture import carried

    blocks = {ours: _block(value) for ours, value in given.items()}
    own, icc = carried.of(image), blocks.get("icc")
    whole = replace(own, exif=blocks.get("exif") or own.exif, xmp=blocks.get("xmp") or own.xmp)
    if icc:
        whole = replace(whole, icc=icc, cicp=None)  # the image's code points are not about this profile
    image = image._new(image.im)
    for name in ("exif", "xmp"):  # the image's own colour profile stays, because it is needed to convert to sRGB
        image.info.pop(name, None)
    image.info.update(metadata.as_info(replace(whole, icc=None)))
    kept = [ours for ours in INFO if blocks.get(ours, True)]
    return image, whole.only(kept)


def _block(value: "bytes | str | Image.Exif | None") -> bytes | None:
    value = value.tobytes() if isinstance(value, Image.Exif) else value
    value = value.encode() if isinstance(value, str) else value
    return value and value.removeprefix(metadata.EXIF_PREFIX)


def _accept(prefix: bytes) -> bool | str:
    """Return whether a file may be one of ours; of a collection a message, of which Pillow makes a warning."""
    if prefix.startswith(format.COLLECTION_MAGIC):
        return "a collection of small pictures: codec.open_collection reads it"
    return prefix.startswith(format.MAGIC)


def register(worker: int = 0) -> None:
    """Teach Pillow the format; `import codec` does this.

    A worker process that is spawned may import nothing that imports `codec`. Give it this function then, as in
    `DataLoader(.., worker_init_fn=codec.plugins.pillow.register)` or `Pool(initializer=codec.plugins.pillow.register)`.

    Args:
        worker: its number, which a DataLoader gives and which is not used.
    """
    Image.register_open(AecImageFile.format, AecImageFile, _accept)
    Image.register_save(AecImageFile.format, _save)
    Image.register_save_all(AecImageFile.format, _save_all)
    Image.register_extension(AecImageFile.format, ".aec")
    Image.register_mime(AecImageFile.format, "image/x-aec")
