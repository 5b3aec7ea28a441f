"""What was read from a file: the views of its parts, and what is missing."""

from collections.abc import Sequence
from dataclasses import dataclass

from .blocks import unpack
from .header import Header


@dataclass(frozen=True)
class Section:
    """A block of metadata as it lies in the file: compressed by zlib if that is shorter.

    Args:
        length: bytes of the block when it is not compressed.
        packed: the bytes in the file; compressed if they are fewer than `length`.
    """

    length: int
    packed: memoryview

    def unpack(self) -> bytes:
        """Return the block. Raises CorruptError if the bytes do not decompress to a block of exactly this length."""
        return unpack(self.packed, self.length, "metadata")


@dataclass(frozen=True)
class Damage:
    """What is missing of a file that was read with `allow_partial`. The numbers are indexes of the layout's sequences.

    Args:
        cut: payloads of which the file has only the beginning, or nothing.
        damaged: payloads whose checksum is wrong.
        alphas: alpha payloads that are not whole.
        metadata: kinds of metadata that are not whole.
        surplus: bytes after the end of the file.
    """

    cut: frozenset[int]
    damaged: frozenset[int]
    alphas: frozenset[int]
    metadata: tuple[str, ...]
    surplus: int


@dataclass(frozen=True)
class Layout:
    """A parsed and verified file. Payloads, alphas, map and metadata are views into its bytes, not copies.

    Args:
        payloads: the coded colours, row-major: the first part of each tile, then the second part of each tile and so
            on, as many as `header.parts`. Of an exact picture its alpha too; for a stored picture, its PNG, WebP or
            JPEG file.
        alphas: the coded alpha of each tile, empty for an opaque tile. The sequence has no items if the alpha channel
            has no payloads of its own (`Header.alpha_apart`).
        metadata: sections by name, as in KINDS; without those that are not whole.
        overhead_bytes: size of the rest of the file: the header, and the table of lengths and checksums.
        quality_map: the coded map of qualities; None if there is none.
        damage: what is missing; None if the file is whole.
    """

    header: Header
    payloads: Sequence[memoryview]
    alphas: Sequence[memoryview]
    metadata: dict[str, Section]
    overhead_bytes: int
    quality_map: memoryview | None = None
    damage: Damage | None = None

    def parts_of(self, tile: int) -> range:
        """Return the indexes of the parts of a tile's payload."""
        return range(tile, tile + self.header.n_tiles * self.header.parts, self.header.n_tiles)

    def whole_parts(self, tile: int) -> int:
        """Return how many parts of a tile's payload come before the first that is not whole."""
        parts, damage = self.parts_of(tile), self.damage
        if damage is None:
            return len(parts)
        lacking = (n for n, part in enumerate(parts) if part in damage.cut or part in damage.damaged)
        return next(lacking, len(parts))

    @property
    def own_metadata_counts(self) -> bool:
        """Whether the metadata inside a stored picture counts.

        It does if the file has no sections, whole or not, but those of significant bits and of extra blocks.
        """
        sections = {*self.metadata, *(self.damage.metadata if self.damage else ())}
        return sections <= {"bits", "extra"}
