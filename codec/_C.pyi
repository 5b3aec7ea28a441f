"""The extension (csrc/python/). `rans`, `segment_walk`, `engine` and CUDA twins in codec/coding use it."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Buffer

SCALE_BITS: int
LOWER_BOUND: int
INDEX_COUNT: int
MAX_LIMIT: int
MAX_ALPHABET: int
MAX_RAW_BITS: int
ESCAPE_HEAD_BITS: int
MAX_ESCAPE_CLASS: int
MAX_SYMBOL: int
MAX_LANES_LOG2: int

class CorruptError(ValueError): ...

class Stopped(Exception):
    """What a function raises that ends early because of a StopFlag."""

class StopFlag:
    """Tells threads that what they compute is of no use any more. Below the flag that the calling thread obeys."""

    def __init__(self) -> None: ...
    def set(self) -> None: ...
    def obey(self) -> None:
        """From now on functions of this module that the calling thread calls raise Stopped if the flag is set, or one
        above it.
        """

class Tables:
    def __init__(self, freqs: NDArray[np.uint16], limits: NDArray[np.uint8], raw_bits: NDArray[np.uint8]) -> None: ...

def encode(
    tables: Tables,
    symbols: NDArray[np.int16],
    indexes: NDArray[np.uint8],
    segments: Sequence[int],
    lanes_log2: int = -1,
    threads: int = 1,
) -> list[bytes]: ...  # the parts of the payload, one for each segment (csrc/rans/parts.h)
def join(parts: Sequence[Buffer], ends_early: bool) -> bytes: ...

class Decoder:
    def __init__(self, tables: Tables, payload: Buffer, is_prefix: bool = False) -> None: ...
    def decode(self, indexes: NDArray[np.uint8], out: NDArray[np.int16], threads: int = 1) -> None: ...
    def finish(self) -> None: ...

def encode_exact(samples: NDArray[np.uint16], depth: int, largest_error: int = 0) -> bytes:
    """Code a tile (csrc/lossless/lossless.h): samples [h, w, C], contiguous, C = 1..4, sides 1..4096, each sample below
    2^depth. Of another shape, or out of range: ValueError.
    """

def decode_exact(payload: Buffer, out: NDArray[np.uint16], depth: int, largest_error: int = 0) -> None:
    """Fill `out` [h, w, C] with a tile's samples. CorruptError: FORMAT §9."""

# 1..100, or one of these for each block of 64x64 pixels of a picture or a tile.
Quality = int | NDArray[np.uint8]

class Nets:
    """Entropy nets, packed (csrc/engine/nets_pack.h): FORMAT §7's `entropy.*` tensors, int16, int32 or uint8,
    contiguous.
    """

    def __init__(
        self, tensors: Mapping[str, NDArray[np.generic]], *, latents: int, hyper: int, context: int, steps: int
    ) -> None: ...

class Walk:
    """One tile's way through them (csrc/engine/nets_cpu.h): codec.coding.segment_walk.Walk on arrays."""

    def __init__(
        self,
        nets: Nets,
        quality: Quality,
        height: int,
        width: int,
        threads: int = 1,
        first: Sequence[bool] = (),  # for each channel, whether the first of two passes codes it; empty: one pass
    ) -> None: ...
    @property
    def segments(self) -> int: ...
    def segment_size(self, k: int) -> int: ...
    def predict(self, k: int, indexes: NDArray[np.uint8]) -> None: ...
    def choose(
        self,
        k: int,
        values: NDArray[np.int16],  # [h, w, channels] in units of 2^-12: hyperlatents for k = 0, else latents
        dead_zones: NDArray[np.int16],
        symbols: NDArray[np.int16],
    ) -> None: ...
    def accept(self, k: int, symbols: NDArray[np.int16]) -> None: ...
    def latents(self) -> NDArray[np.int16]: ...  # [h, w, M]

def decode_tile(
    nets: Nets,
    tables: Tables,
    payload: Buffer,
    quality: Quality,
    height: int,
    width: int,
    threads: int = 1,
    is_prefix: bool = False,
    first: Sequence[bool] = (),
) -> NDArray[np.int16]:
    """From a tile's payload to its latents, [height, width, M] (csrc/tile/decode_tile.h). CorruptError: FORMAT §3."""

class Synthesis:
    """What makes pixels of latents, packed (csrc/engine/synthesis.h). For many threads at once.

    tensors: FORMAT §7's `synthesis.*` without that prefix and without `.fraction`: int16, int32 or uint8, contiguous.
    Others are ignored. ValueError names the one that is missing, of another type or shape, out of range, or whose sums
    could overflow, or says which of the sizes is not as in FORMAT §7.
    """

    def __init__(
        self,
        tensors: Mapping[str, NDArray[np.generic]],
        *,
        latents: int,
        wide8: int,
        blocks8: int,
        wide16: int,
        blocks16: int,
    ) -> None: ...
    def run(
        self,
        latents: NDArray[np.int16],  # [h, w, M], all but the rows contiguous; another type: TypeError
        *,
        at: tuple[int, int],  # row and column of the first of them
        picture: tuple[int, int],  # rows and columns of all latents, 1 to 4096
        quality: Quality,
        shrink: int,  # 1, 2, 4 or 8
        branch: bool,  # or the shortcut alone
        origin: tuple[int, int],  # row and column of the first sample that is wanted
        out: NDArray[np.uint8] | NDArray[np.uint16],  # [rows, columns, 3], or 1 of gray; all but the rows contiguous
        threads: int = 1,
    ) -> None:
        """Fill `out`. ValueError, and nothing is written, if an argument is out of range or of another shape, `out` is
        not within the picture or cannot be written, or the latents are not all that are read: those of the samples,
        and with the branch as many around them as it looks at, blocks16 + ceil(blocks8 / 2), where the picture has
        them.
        """

class Analysis:
    """What makes latents of pixels, packed (csrc/engine/analysis.h). For many threads at once.

    tensors: FORMAT §7's `analysis.*`, as `Synthesis` takes those of the synthesis. ValueError as there.
    """

    def __init__(
        self,
        tensors: Mapping[str, NDArray[np.generic]],
        *,
        latents: int,
        wide8: int,
        blocks8: int,
        wide16: int,
        blocks16: int,
    ) -> None: ...
    def run(
        self,
        pixels: NDArray[np.int16],  # [16 * rows, 16 * columns, 3], contiguous, of magnitude up to 4096; as tile_input
        *,
        at: tuple[int, int],  # row and column of their first latent
        picture: tuple[int, int],  # rows and columns of all latents, 1 to 4096
        quality: Quality,
        area: tuple[int, int, int, int],  # of the latents that are wanted: row, column, rows, columns
        threads: int = 1,
    ) -> NDArray[np.int16]:
        """Latents [rows, columns, M] of the area, in units of 2^-12. ValueError if an argument is out of range or of
        another shape, the area is not within the picture, or the pixels are not all that are read: those of the area,
        and of as many latents around it as `Synthesis.run` looks at, where the picture has them. Another type of
        pixels: TypeError.
        """

class HyperAnalysis:
    """What makes hyperlatents of latents, packed, likewise."""

    def __init__(
        self, tensors: Mapping[str, NDArray[np.generic]], *, latents: int, context: int, hyper: int
    ) -> None: ...
    def run(
        self,
        latents: NDArray[np.int16],  # [4 * rows, 4 * columns, M], contiguous, rows and columns 1 to 1024
        *,
        quality: Quality,
        threads: int = 1,
    ) -> NDArray[np.int16]:
        """Hyperlatents [rows, columns, Z], in units of 2^-12. Errors as those of `Analysis.run`."""

class Projection:
    """What refinement makes of errors, packed: their projection on what each latent adds to pixels through the
    synthesis' shortcut (csrc/engine/projection.h). For many threads at once. `tensors`, ValueError: as of `Synthesis`.
    """

    def __init__(self, tensors: Mapping[str, NDArray[np.generic]], *, latents: int) -> None: ...
    def run(
        self,
        errors: NDArray[np.int16],  # [16 * rows, 16 * columns, 3], contiguous, of magnitude up to 2^13
        *,
        threads: int = 1,
    ) -> NDArray[np.int16]:
        """Changes of latents, [rows, columns, M], in units of 2^-12. Errors as those of `Analysis.run`."""

# What an encoder makes of a picture's samples (csrc/tile/). `data` is uint8 or uint16 [height, width, 1 or 3], `alpha`
# None or [height, width] of the same type; any strides. Areas are (x, y, width, height) in pixels.

Samples = NDArray[np.uint8] | NDArray[np.uint16]
SEEN: int  # the margin around a tile, in latents, on which refinement measures errors
SQUARED_ERROR: float  # their weights in the distortion for the eye
PERCEIVED_ERROR: float

def iterations(tune: str, effort: int) -> int: ...
def level_lambda(level: float) -> float: ...
def tile_input(
    data: Samples, alpha: Samples | None, area: tuple[int, int, int, int], threads: int = 1
) -> NDArray[np.int16]: ...
def perceived_error(
    original: NDArray[np.int16],  # [rows, columns, 3] as `tile_input` returns them
    decoded: NDArray[np.uint16],  # [rows, columns, 1 or 3]
    with_slope: bool = True,
    threads: int = 1,
) -> tuple[float, NDArray[np.float32] | None]: ...  # the slope is [3, rows, columns] (csrc/tile/perceived_error.h)

class Refinement:
    """The refinement of a tile by an encoder whose networks are elsewhere (csrc/tile/refinement.h)."""

    def __init__(
        self,
        projection: Projection,
        pixels: NDArray[np.int16],  # [rows, columns, 3] as `tile_input` returns them, of the tile and its margin
        *,
        size: tuple[int, int],  # rows and columns of them that lie in the picture
        tile: tuple[int, int, int, int],  # the tile among them
        tune: str,
        effort: int,
        level: float,
        latents: NDArray[np.int16],  # [h, w, M]
        threads: int = 1,
    ) -> None: ...
    @property
    def target(self) -> NDArray[np.int16]: ...  # the latents to choose symbols for
    @property
    def best(self) -> NDArray[np.int16]: ...
    def accept(
        self, n_bytes: int, decoded: NDArray[np.uint16], latents: NDArray[np.int16], threads: int = 1
    ) -> bool: ...  # whether there is a new target

class EncoderModel:
    """What a model has for encoding (csrc/tile/encode_tile.h). For many threads at once. Encoder.parts makes it.

    ValueError: an argument is out of range or of another shape; TypeError: it is of another type.
    """

    def latents(
        self,
        data: Samples,
        alpha: Samples | None,
        *,
        area: tuple[int, int, int, int],
        quality: Quality,
        threads: int = 1,
    ) -> NDArray[np.int16]: ...
    def hyperlatents(self, latents: NDArray[np.int16], *, quality: Quality, threads: int = 1) -> NDArray[np.int16]: ...
    def analyse(
        self,
        data: Samples,
        alpha: Samples | None,
        *,
        tile: tuple[int, int, int, int],
        quality: Quality,  # of the whole picture
        effort: int,
        dead_zones: NDArray[np.int16],
        first: Sequence[bool],
        threads: int,
        progress: Callable[[], None],
    ) -> tuple[NDArray[np.int16], NDArray[np.int16]]: ...  # latents and hyperlatents
    def choose(
        self,
        latents: NDArray[np.int16],
        hyperlatents: NDArray[np.int16],
        *,
        quality: Quality,  # of the tile
        dead_zones: NDArray[np.int16],
        first: Sequence[bool],
        threads: int = 1,
    ) -> tuple[NDArray[np.int16], NDArray[np.uint8], list[int], NDArray[np.int16]]:
        """Symbols, indexes, lengths of the segments, and what the symbols decode to."""

    def encode(
        self,
        data: Samples,
        alpha: Samples | None,
        *,
        tile: tuple[int, int, int, int],
        quality: Quality,  # of the whole picture
        effort: int,
        dead_zones: NDArray[np.int16],
        first: Sequence[bool],
        threads: int,
        progress: Callable[[], None],
    ) -> list[bytes]: ...  # the parts of the payload

class Model:
    """A model that decodes, loaded and verified (csrc/model/model.h). For many threads at once.

    file: the bytes of a model file, which are not needed afterwards. ValueError says what is wrong with them.
    """

    def __init__(self, file: Buffer, threads: int = 1) -> None: ...
    @property
    def config(self) -> dict[str, int]: ...
    @property
    def id(self) -> bytes: ...
    @property
    def tune(self) -> str: ...
    @property
    def levels(self) -> bytes: ...  # float32 [100]
    @property
    def dead_zones(self) -> bytes: ...  # int16 [64]
    @property
    def steps(self) -> bytes: ...  # int16 [100, M]
    @property
    def tables(self) -> Tables: ...
    @property
    def nets(self) -> Nets: ...
    @property
    def synthesis(self) -> Synthesis: ...

class Encoder:
    """The encoder's half of a model, loaded and verified (csrc/model/encoder.h). For many threads at once.

    file: as of Model. ValueError says what is wrong with it, or that it is another model's.
    """

    def __init__(self, file: Buffer, model: Model, threads: int = 1) -> None: ...
    @property
    def analysis(self) -> Analysis: ...
    @property
    def hyper_analysis(self) -> HyperAnalysis: ...
    @property
    def projection(self) -> Projection: ...
    def parts(self, tune: str) -> EncoderModel: ...

def multiply_add_loop(rounds: int) -> int: ...  # multiply-adds done, in registers, by isa(); 0 for "scalar"
def isas() -> list[str]: ...
def isa() -> str: ...
def set_isa(name: str) -> None: ...
def cuda_built() -> bool: ...
def cuda_archs() -> str: ...

# The rest exists only if cuda_built() and serves codec.coding.rans_cuda. Arguments that end in `_ptr` are what
# tensor.data_ptr() says, `stream` is a cuda_stream: see csrc/rans/coder_cuda.h.

def tables_data(tables: Tables) -> bytes: ...
def check_argument(position: int, symbol: int, index: int) -> None: ...
def choose_lanes_log2(payload_bytes: int) -> int: ...
def cost_cuda(tables_ptr: int, indexes_ptr: int, n: int, cost_ptr: int, device: int, stream: int, /) -> None: ...

class DecodePlan:
    data: bytes
    n_tiles: int
    def __init__(self, payloads: Sequence[Buffer], /) -> None: ...
    def scratch_bytes(self, n: int, /) -> int: ...
    def run(
        self,
        tables_ptr: int,
        payloads_ptr: int,
        state_ptr: int,
        segment: int,
        indexes_ptr: int,
        firsts_ptr: int,
        n: int,
        symbols_ptr: int,
        scratch_ptr: int,
        tables_in_shared: bool,
        device: int,
        stream: int,
        /,
    ) -> None: ...
    def check(self, state: Buffer, /) -> None: ...

class EncodePlan:
    data: bytes
    n: int
    words_bytes: int
    capacity: int
    scratch_bytes: int
    result_bytes: int
    def __init__(self, segments: Sequence[Sequence[int]], lanes_log2: Sequence[int], /) -> None: ...
    def run(
        self,
        tables_ptr: int,
        plan_ptr: int,
        symbols_ptr: int,
        indexes_ptr: int,
        words_ptr: int,
        words_bytes: int,
        scratch_ptr: int,
        payloads_ptr: int,
        capacity: int,
        result_ptr: int,
        tables_in_shared: bool,
        device: int,
        stream: int,
        /,
    ) -> None: ...
    def wrong_argument(self, result: Buffer, /) -> int: ...
    def ends(self, result: Buffer, /) -> list[int]: ...

# Of codec.coding.segment_walk_cuda; addresses as above, see csrc/engine/nets_cuda.h.

class NetImage:
    """Entropy nets as the GPU reads them (csrc/engine/nets_image.h)."""

    def __init__(self, nets: Nets) -> None: ...
    @property
    def fits(self) -> bool: ...
    def bytes(self) -> NDArray[np.uint8]: ...
    def workspace_bytes(self, height: int, width: int) -> int: ...

class CudaWalk:
    """The state of one tile's walk is in device memory: this only remembers where (csrc/engine/nets_cuda.h)."""

    def __init__(
        self,
        image: NetImage,
        quality: int,
        height: int,
        width: int,
        large: int,
        image_on_device: int,
        workspace: int,
        latents: int,
    ) -> None: ...
    def segment_size(self, k: int) -> int: ...
    def predict(self, k: int, indexes: int, device: int, stream: int) -> None: ...
    def choose(
        self,
        k: int,
        indexes: int,
        values: int,
        strides: Sequence[int],  # three
        dead_zones: int,
        symbols: int,
        device: int,
        stream: int,
    ) -> None: ...
    def accept(self, k: int, symbols: int, device: int, stream: int) -> None: ...

# Of codec.coding.synthesis_cuda; addresses as above, see csrc/engine/synthesis_cuda.h.

class SynthesisImage:
    """A synthesis as the GPU reads it (csrc/engine/synthesis_image.h)."""

    def __init__(self, transform: Synthesis) -> None: ...
    @property
    def fits(self) -> bool: ...
    def bytes(self) -> NDArray[np.uint8]: ...

class CudaSynthesis:
    """A rectangle of samples that is to be made. These arguments are checked as those of `Synthesis.run`."""

    def __init__(
        self,
        image: SynthesisImage,
        *,
        at: tuple[int, int],
        given: tuple[int, int],  # rows and columns of the latents
        picture: tuple[int, int],
        quality: Quality,
        shrink: int,
        branch: bool,
        origin: tuple[int, int],
        size: tuple[int, int],  # rows and columns of the samples
        gray: bool,
    ) -> None: ...
    @property
    def workspace_bytes(self) -> int: ...
    def run(
        self,
        *,
        image: int,
        map: int,  # the quality of each block, if there is a map
        latents: int,
        channels: int,
        workspace: int,
        large: int,
        out: int,
        depth: int,  # 8 or 16
        strides: Sequence[int],  # of channels, rows and columns of the samples
        device: int,
        stream: int,
    ) -> None: ...

# Of codec.coding.analysis_cuda; addresses as above, see csrc/engine/analysis_cuda.h.

class AnalysisImage:
    """An analysis as the GPU reads it (csrc/engine/analysis_image.h)."""

    def __init__(self, transform: Analysis) -> None: ...
    @property
    def fits(self) -> bool: ...
    @property
    def latents(self) -> int: ...
    def bytes(self) -> NDArray[np.uint8]: ...

class HyperAnalysisImage:
    def __init__(self, transform: HyperAnalysis) -> None: ...
    @property
    def fits(self) -> bool: ...
    @property
    def hyper(self) -> int: ...
    def bytes(self) -> NDArray[np.uint8]: ...

class CudaAnalysis:
    """An area whose latents are to be made. These arguments are checked as those of `Analysis.run`."""

    def __init__(
        self,
        image: AnalysisImage,
        *,
        given: Sequence[int],  # row, column, rows and columns of the pixels, in latents
        picture: tuple[int, int],
        quality: Quality,
        area: Sequence[int],
    ) -> None: ...
    @property
    def workspace_bytes(self) -> int: ...
    def run(
        self,
        *,
        image: int,
        map: int,  # the quality of each block, if there is a map
        workspace: int,
        large: int,
        pixels: int,
        out: int,
        device: int,
        stream: int,
    ) -> None: ...

class CudaHyperAnalysis:
    """A tile whose hyperlatents are to be made: rows x columns of them."""

    def __init__(self, image: HyperAnalysisImage, *, rows: int, columns: int, quality: Quality) -> None: ...
    @property
    def workspace_bytes(self) -> int: ...
    @property
    def output(self) -> tuple[int, int]: ...  # where they are in the workspace, in bytes; and their padded channels
    def run(
        self,
        *,
        image: int,
        map: int,
        workspace: int,
        large: int,
        latents: int,
        channels: int,
        device: int,
        stream: int,
    ) -> None: ...
