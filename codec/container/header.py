"""The head of an .aec file: its fields, their ranges, and their bytes (FORMAT §2.1)."""

import operator
from dataclasses import dataclass

from ..errors import CorruptError, LimitError, NotAecError, TruncatedError, UnsupportedVersionError
from .varint import read_varint, varint

MAGIC = b"\xd7AEC"
COLLECTION_MAGIC = b"\xd7AES"  # of a collection of small pictures (COLLECTION.md), which another decoder reads
VERSION = 2
MODEL_ID_BYTES = 4
NO_MODEL = bytes(MODEL_ID_BYTES)  # the model id of a stored picture, which needs no model
MAX_SIDE = 65535
DEFAULT_MAX_PIXELS = 2**28
MIN_TILE = 64
MAX_TILE_LOG2 = 6  # tile side at most 64 << 6 = 4096
# With the smallest tile side, this many tiles hold 2^28 pixels. A longer table would cost much time and memory before
# the first tile is decoded.
MAX_TILES = 2**16
METADATA = ("icc", "exif", "xmp", "extra")  # kinds of metadata that can be left out; code points go with the profile
# The kinds of metadata in a file, in the order of their bits and of their sections.
KINDS = ("icc", "exif", "xmp", "cicp", "bits", "extra")
MAX_ERROR = 255  # of an exact picture's samples, which the quality byte holds
STORED_KINDS = {"PNG": b"\x89PNG\r\n\x1a\n", "WebP": b"RIFF", "JPEG": b"\xff\xd8\xff"}  # the first bytes of each kind
MAX_PARTS = 16  # of a tile's payload
MAX_FIRST = 2**14 - 1  # channels of latents in the first pass; a model has at most 2^14
_GRAY, _MORE, _RESERVED = 1, 8, 0b0110
_SECTIONS, _ALPHA, _DEEP, _STORED, _MAPPED, _PARTS, _EXACT, _MORE_RESERVED = 1, 2, 4, 8, 16, 32, 64, 0b10000000
_FIXED_BYTES = len(MAGIC) + 1 + MODEL_ID_BYTES + 1 + 1


@dataclass(frozen=True)
class Tile:
    """A rectangle of the image, in pixels: usually one of the tiles that are coded separately."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class Header:
    """The header of an .aec file.

    Args:
        width, height: size of the picture in pixels, 1..65535 each; the picture has at most 2^16 tiles.
        quality: 1..100; 0 for a stored picture; for an exact picture 0..255, the largest error of a colour sample, in
            levels of its own depth.
        model_id: the first 4 bytes of the SHA-256 of the model that wrote the file; zeros for a stored or an exact
            picture.
        gray: whether there is one colour channel instead of three.
        tile: tile side in pixels, 64, 128, .. 4096; 64 for a stored picture.
        alpha: whether there is an alpha channel.
        depth: bits a sample, 8 or 16.
        stored: whether the picture is stored: its only payload is a PNG, WebP or JPEG file, and no model is needed.
        mapped: whether there is a map with the quality of each block; then `quality` is what its numbers count from.
        parts: the number of parts of each tile's payload, 1..16. With more than one, the file has the first parts of
            all tiles, then the second ones and so on, so that its beginning holds a coarser picture.
        first: how many channels of the latents the first of two passes codes; 0: there is one pass. Two passes have
            parts.
        exact: whether the picture is coded by the exact coder (FORMAT §9): a payload for each tile, which holds all its
            channels, and no model is needed.
    """

    width: int
    height: int
    quality: int
    model_id: bytes
    gray: bool = False
    tile: int = 1024
    alpha: bool = False
    depth: int = 8
    stored: bool = False
    mapped: bool = False
    parts: int = 1
    first: int = 0
    exact: bool = False

    @property
    def by_network(self) -> bool:
        """Whether a network's symbols are inside, so that the quality is one and the model is needed."""
        return not (self.stored or self.exact)

    @property
    def alpha_apart(self) -> bool:
        """Whether the alpha channel has payloads of its own."""
        return self.alpha and self.by_network

    @property
    def n_tiles(self) -> int:
        return 1 if self.stored else -(-self.width // self.tile) * -(-self.height // self.tile)

    @property
    def tiles(self) -> list[Tile]:
        """The area of each payload, in row-major order. A stored picture has one, the whole picture."""
        if self.stored:
            return [Tile(0, 0, self.width, self.height)]
        return [
            Tile(x, y, min(self.tile, self.width - x), min(self.tile, self.height - y))
            for y in range(0, self.height, self.tile)
            for x in range(0, self.width, self.tile)
        ]


def region_of(region: tuple[int, int, int, int], header: Header) -> Tile:
    """Return the rectangle (x, y, width, height) of a picture. Raises TypeError, or ValueError if it is outside."""
    try:
        x, y, width, height = map(operator.index, region)
    except (TypeError, ValueError) as e:
        raise TypeError(f"region {region!r}: must be four ints, (x, y, width, height)") from e
    if min(x, y) < 0 or min(width, height) < 1 or x + width > header.width or y + height > header.height:
        raise ValueError(
            f"region of {width}x{height} at ({x}, {y}): must be within the picture of {header.width}x{header.height}"
        )
    return Tile(x, y, width, height)


def stored_kind(payload: bytes | memoryview) -> str | None:
    """Return the kind of a stored picture, a key of STORED_KINDS, by its first bytes; None if it is not allowed."""
    return next((kind for kind, magic in STORED_KINDS.items() if payload[: len(magic)] == magic), None)


def check_size(width: int, height: int, max_pixels: int | None = DEFAULT_MAX_PIXELS) -> None:
    """Raise LimitError if a side is above 65535 pixels, or the area above `max_pixels` (None: no limit)."""
    if max(width, height) > MAX_SIDE:
        raise LimitError(f"image of {width}x{height}: a side may have at most {MAX_SIDE} pixels")
    if max_pixels is not None and width * height > max_pixels:
        raise LimitError(f"image of {width}x{height} has {width * height} pixels: at most {max_pixels} are allowed")


def check_header(header: Header) -> None:
    if header.stored and header.exact:
        raise ValueError("a picture is either stored or exact")
    if header.stored:
        if header.quality != 0 or header.model_id != NO_MODEL or header.tile != MIN_TILE:
            raise ValueError(f"a stored picture has quality 0, model id 0 and tile side {MIN_TILE}")
    elif header.exact:
        if not 0 <= header.quality <= MAX_ERROR or header.model_id != NO_MODEL:
            raise ValueError(f"an exact picture has model id 0 and a largest error of 0..{MAX_ERROR}")
    elif not 1 <= header.quality <= 100:
        raise ValueError(f"quality {header.quality}: allowed are 1..100")
    if len(header.model_id) != MODEL_ID_BYTES:
        raise ValueError(f"model id of {len(header.model_id)} bytes: must be {MODEL_ID_BYTES}")
    if header.tile not in [MIN_TILE << i for i in range(MAX_TILE_LOG2 + 1)]:
        raise ValueError(f"tile side {header.tile}: allowed are 64, 128, .. 4096")
    if not header.by_network and (header.mapped or header.parts != 1):
        raise ValueError("a picture that no network codes has no map of qualities, and one part")
    if not 1 <= header.parts <= MAX_PARTS:
        raise ValueError(f"{header.parts} parts of each tile: allowed are 1..{MAX_PARTS}")
    if not 0 <= header.first <= MAX_FIRST or header.first and header.parts == 1:
        raise ValueError(f"{header.first} channels in the first pass: allowed are 0..{MAX_FIRST}, and 0 without parts")
    if header.depth not in (8, 16):
        raise ValueError(f"depth {header.depth}: allowed are 8 and 16 bits a sample")
    if header.width < 1 or header.height < 1:
        raise ValueError(f"image of {header.width}x{header.height}: both sides must be at least 1")
    check_size(header.width, header.height)
    _check_tiles(header)


def _check_tiles(header: Header) -> None:
    if (n := header.n_tiles * header.parts) > MAX_TILES:
        of_parts = f" of {header.parts} parts" if header.parts > 1 else ""
        raise LimitError(
            f"{header.n_tiles} tiles of side {header.tile}{of_parts}: at most {MAX_TILES} are allowed, not {n}"
        )


def head_bytes(header: Header, kinds: int) -> bytes:
    """Return the head of the file, which every checksum covers: the header's fields, and the kinds of metadata.

    Args:
        kinds: bit i is set if there is a block of KINDS[i].
    """
    more = (
        (_SECTIONS if kinds else 0)
        | (_ALPHA if header.alpha else 0)
        | (_DEEP if header.depth == 16 else 0)
        | (_STORED if header.stored else 0)
        | (_MAPPED if header.mapped else 0)
        | (_PARTS if header.parts > 1 else 0)
        | (_EXACT if header.exact else 0)
    )
    flags = (_GRAY if header.gray else 0) | (_MORE if more else 0) | (header.tile // MIN_TILE).bit_length() - 1 << 4
    return b"".join(
        (
            MAGIC,
            bytes([VERSION]),
            header.model_id,
            bytes([header.quality, flags, more] if more else [header.quality, flags]),
            varint(header.width),
            varint(header.height),
            bytes([kinds] if kinds else []),
            bytes([header.parts]) + varint(header.first) if header.parts > 1 else b"",
        )
    )


def read_head(data: memoryview, max_pixels: int | None) -> tuple[Header, int, int]:
    """Parse the head of a file. Returns (header, kinds of metadata as bits, offset at which the head ends)."""
    if bytes(data[: len(MAGIC)]) != MAGIC[: len(data)] or len(data) == 0:
        if bytes(data[: len(COLLECTION_MAGIC)]) == COLLECTION_MAGIC:
            raise NotAecError(
                "a collection of small pictures and not a single one: aec decompress and codec.open_collection read it"
            )
        raise NotAecError(f"not an .aec file: starts with {bytes(data[: len(MAGIC)]).hex(' ') or 'nothing'}")
    if len(data) > len(MAGIC) and data[len(MAGIC)] != VERSION:
        raise UnsupportedVersionError(f"format version {data[len(MAGIC)]}: this decoder knows {VERSION}")
    if len(data) < _FIXED_BYTES:
        raise TruncatedError(f"file ends at byte {len(data)}, inside the header")
    model_id = bytes(data[5:9])
    quality, flags, more, at = data[9], data[10], 0, _FIXED_BYTES
    if flags & _RESERVED:
        raise UnsupportedVersionError(f"flags {flags:#04x} ask for a feature that this decoder does not know")
    if flags & _MORE:
        if at >= len(data):
            raise TruncatedError(f"file ends at byte {len(data)}, inside the header")
        more, at = data[at], at + 1
        if more & _MORE_RESERVED:
            raise UnsupportedVersionError(f"flags {more:#04x} ask for a feature that this decoder does not know")
        if more == 0:
            raise CorruptError("a second byte of flags that says nothing")
    if flags >> 4 > MAX_TILE_LOG2:
        raise CorruptError(f"tile side 64 << {flags >> 4}: at most 64 << {MAX_TILE_LOG2} is allowed")
    stored = bool(more & _STORED)
    if more & (_STORED | _EXACT) and more & (_MAPPED | _PARTS):
        raise CorruptError("a picture that no network codes, and that has a map of qualities or parts")
    if stored and (quality != 0 or model_id != NO_MODEL or flags >> 4):
        raise CorruptError("a stored picture whose quality, model id or tile side is not 0")
    exact = bool(more & _EXACT)
    if exact and (stored or model_id != NO_MODEL):
        raise CorruptError("an exact picture that is stored too, or whose model id is not 0")
    if not stored and not exact and not 1 <= quality <= 100:
        raise CorruptError(f"quality {quality}: must be 1..100")
    width, at = read_varint(data, at, "the width")
    height, at = read_varint(data, at, "the height")
    if width == 0 or height == 0:
        raise CorruptError(f"image of {width}x{height}: both sides must be at least 1")
    check_size(width, height, max_pixels)
    kinds, parts, first = 0, 1, 0
    if more & _SECTIONS:
        if at >= len(data):
            raise TruncatedError(f"file ends at byte {len(data)}, inside the header")
        kinds, at = data[at], at + 1
        if kinds >> len(KINDS):
            raise UnsupportedVersionError(f"metadata of kinds {kinds:#04x}: this decoder knows {', '.join(KINDS)}")
        if kinds == 0:
            raise CorruptError(f"metadata of kinds {kinds:#04x}: there must be one")
    if more & _PARTS:
        if at >= len(data):
            raise TruncatedError(f"file ends at byte {len(data)}, inside the header")
        parts, at = data[at], at + 1
        if not 2 <= parts <= MAX_PARTS:
            raise CorruptError(f"{parts} parts of each tile: must be 2..{MAX_PARTS}")
        first, at = read_varint(data, at, "the number of channels in the first pass")
        if first > MAX_FIRST:
            raise CorruptError(f"{first} channels in the first pass: at most {MAX_FIRST} are allowed")
    header = Header(
        width,
        height,
        quality,
        model_id,
        gray=bool(flags & _GRAY),
        tile=MIN_TILE << (flags >> 4),
        alpha=bool(more & _ALPHA),
        depth=16 if more & _DEEP else 8,
        stored=stored,
        mapped=bool(more & _MAPPED),
        parts=parts,
        first=first,
        exact=exact,
    )
    _check_tiles(header)
    return header, kinds, at


def read_header(data: bytes | bytearray | memoryview, max_pixels: int | None = None) -> Header:
    """Parse only the header of a file. No checksum is compared.

    Args:
        data: the beginning of the file; 26 bytes are always enough.
        max_pixels: pictures with more pixels are refused; None: only the format's own limit holds.

    Raises:
        NotAecError, UnsupportedVersionError, TruncatedError, CorruptError, LimitError: FORMAT §2 says when.
    """
    return read_head(memoryview(data).cast("B"), max_pixels)[0]
