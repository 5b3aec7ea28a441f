"""csrc computes the same where Python's extension is not built: ARM, WebAssembly, and a machine whose numbers are
big-endian (s390x), under qemu and node.

Debian's g++-aarch64-linux-gnu and g++-s390x-linux-gnu with qemu-user-static, and emscripten with nodejs; what is not
installed is skipped.
"""

import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
import web_package
from photos import photo

from codec import _C
from codec.coding import engine, model_file, model_search, rans
from codec.coding.tile_input import tile_input
from codec.coding.tiles import TileTask
from codec.container.format import Tile
from codec.picture.pixels import of_file
from codec.picture.samples import Pixels

HERE = Path(__file__).parent
CSRC = HERE.parent / "csrc"
MODEL = HERE / "golden" / "tiny4.safetensors"
ENGINE = ("analysis", "executor", "nets_cpu", "nets_pack", "nets_scalar", "nets_simd128", "pack", "plan")
ENGINE += ("program", "projection", "synthesis")
SOURCES = ["base/isa", *(f"engine/{name}" for name in ENGINE), "lossless/lossless", "lossless/least_squares_scalar"]
SOURCES += ["rans/coder_cpu", "rans/coder_scalar", "rans/compact", "rans/parts"]
SOURCES += ["tile/perceived_error", "tile/perceived_scalar"]
TYPES = {"int16": 0, "int32": 1, "uint8": 2}
NETS = ("analysis.", "hyper_analysis.", "entropy.", "synthesis.")
CASES = ((64, 128, 1), (128, 64, 60), (64, 64, 100))  # rows and columns of pixels, multiples of 64, and quality
BUILDS = {
    "aarch64": (
        "aarch64-linux-gnu-g++ -static -pthread {neon} {neon_coder}",
        ["qemu-aarch64-static"],
        {"scalar", "neon"},
    ),
    "s390x": (
        "s390x-linux-gnu-g++ -static -pthread",
        ["qemu-s390x-static"],
        {"scalar"},
    ),
    "wasm": (
        "em++ -msimd128 -fwasm-exceptions -s STANDALONE_WASM=1 -s INITIAL_MEMORY=1073741824",
        ["node", "--no-warnings", str(HERE / "other_machines" / "run_wasm.mjs")],
        {"simd128"},
    ),
}


def pictures() -> list[tuple[Pixels, int]]:
    """And the quality of each."""
    return [(Pixels(photo(height, width, seed=quality)), quality) for height, width, quality in CASES]


def numbers(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}i", *values)


def program_input(model: Path, cases: list[tuple[Pixels, int]]) -> bytes:
    """What other_machines/digest.cpp reads: a model, and pictures with the quality of each."""
    file = model_file.load(model)
    c = file.config
    parts = [numbers(c.latents, c.hyper, c.context, c.steps, c.wide8, c.blocks8, c.wide16, c.blocks16)]
    kept = {k: v for k, v in file.tensors.items() if k.startswith(NETS) and not k.endswith(".fraction")}
    tensors = {k: v.astype(np.int16) if v.dtype == np.int8 else v for k, v in kept.items()}
    parts.append(numbers(len(tensors)))
    for name, v in tensors.items():
        parts += [numbers(len(name)), name.encode(), numbers(TYPES[str(v.dtype)], v.ndim, *v.shape)]
        parts.append(v.astype(v.dtype.newbyteorder("<")).tobytes())
    coder = [file.tensors[f"tables.{name}"] for name in model_file.TABLES]
    parts += [v.astype(v.dtype.newbyteorder("<")).tobytes() for v in (file.dead_zones.astype(np.int16), *coder)]
    parts.append(numbers(len(cases)))
    for pixels, quality in cases:
        parts.append(numbers(pixels.height // 64, pixels.width // 64, quality))
        parts.append(tile_input(pixels, Tile(0, 0, pixels.width, pixels.height)).astype("<i2").tobytes())
    return b"".join(parts)


def fnv1a(data: bytes) -> str:
    value = 14695981039346656037
    for byte in data:
        value = (value ^ byte) * 1099511628211 % 2**64
    return f"{value:016x}"


def first_hashes(pixels: Pixels, quality: int) -> list[str]:
    """Of latents and hyperlatents, as the extension says."""
    encoder = engine.encoder(MODEL)
    y, z = encoder.analyse(TileTask(pixels, Tile(0, 0, pixels.width, pixels.height), quality, effort=1))
    return [fnv1a(v.astype("<i2").tobytes()) for v in (y, z)]


def payload_hash(pixels: Pixels, quality: int) -> str:
    encoder = engine.encoder(MODEL)
    y, z = encoder.analyse(TileTask(pixels, Tile(0, 0, pixels.width, pixels.height), quality, effort=1))
    return fnv1a(rans.join(encoder.pack(encoder.quantise(quality, y, z))))


def perceived_hash(pixels: Pixels) -> str:
    """Of the error of a picture that has less contrast, and of its slope."""
    x = tile_input(pixels, Tile(0, 0, pixels.width, pixels.height))
    error, slope = _C.perceived_error(x, ((x.astype(np.int32) + 4080) * 7 + 1000).astype(np.uint16))
    (bits,) = struct.unpack("<Q", struct.pack("<d", error))
    return f"{int(fnv1a(slope.astype('<f4').tobytes()), 16) ^ bits:016x}"


def exact_hash(pixels: Pixels) -> str:
    """Of the payload of an exact picture, of the low bytes of what the networks are given."""
    samples = tile_input(pixels, Tile(0, 0, pixels.width, pixels.height)) & 255
    return fnv1a(_C.encode_exact(samples.astype(np.uint16), 8))


def all_pixels(pixels: Pixels, quality: int, model: Path = MODEL) -> str:
    """Of the decoded picture's samples of 8 bits."""
    encoder = engine.encoder(model)
    y, z = encoder.analyse(TileTask(pixels, Tile(0, 0, pixels.width, pixels.height), quality, effort=1))
    latents = encoder.quantise(quality, y, z).latents
    out = np.empty((pixels.height, pixels.width, 3), np.uint8)
    encoder.decoder.synthesis.handle.run(
        latents, at=(0, 0), picture=latents.shape[:2], quality=quality, shrink=1, branch=True, origin=(0, 0), out=out
    )
    return fnv1a(out.tobytes())


@pytest.fixture
def built(tmp_path, tmp_path_factory):
    """built(build): the program for another machine; skips where what makes or runs it is not installed."""

    def one(build: str) -> Path:
        compiler, runner, _ = BUILDS[build]
        for tool in (compiler.split()[0], runner[0]):
            if shutil.which(tool) is None:
                pytest.skip(f"{tool} is not installed")
        program = tmp_path / "digest.wasm"  # by its name em++ knows what to make
        if build == "wasm":  # the package's own objects
            objects = web_package.objects_of(web_package.build(tmp_path_factory))
            parts = [objects / f"{name.replace('/', '-')}.o" for name in SOURCES]
        else:
            parts = [CSRC / f"{name}.cpp" for name in SOURCES]
        command = compiler.format(neon=CSRC / "engine" / "nets_neon.cpp", neon_coder=CSRC / "rans" / "coder_neon.cpp")
        flags = ["-std=c++17", "-O2", "-ffp-contract=off", f"-I{CSRC}"]
        sources = [HERE / "other_machines" / "digest.cpp", *parts]
        subprocess.run([*command.split(), *flags, *map(str, sources), "-o", str(program)], check=True)
        return program

    return one


def lines_of(build: str, program: Path, data: bytes, *arguments: str) -> list[list[str]]:
    """What it prints: [instruction set and threads, hashes], for each picture and setting."""
    _, runner, _ = BUILDS[build]
    said = subprocess.run([*runner, str(program), *arguments], input=data, capture_output=True, check=True).stdout
    return [line.split(": ") for line in said.decode().splitlines()]


@pytest.mark.parametrize("build", BUILDS)
def test_another_machine_computes_the_same(build, built):
    cases = pictures()
    lines = lines_of(build, built(build), program_input(MODEL, cases))
    assert {head.split()[0] for head, _ in lines} == BUILDS[build][2]
    per_case = len(lines) // len(cases)
    for i, (pixels, quality) in enumerate(cases):
        (found,) = {hashes for _, hashes in lines[i * per_case : (i + 1) * per_case]}
        assert found.split()[:2] == first_hashes(pixels, quality)
        assert found.split()[5] == all_pixels(pixels, quality)
        assert found.split()[-3] == perceived_hash(pixels)
        assert found.split()[-2] == payload_hash(pixels, quality)
        assert found.split()[-1] == exact_hash(pixels)


@pytest.mark.exhaustive
@pytest.mark.parametrize("quality", [5, 25, 50, 75, 100])
@pytest.mark.parametrize(("build", "isa"), [("wasm", "simd128"), ("aarch64", "neon")])
def test_photographs_are_the_same_on_other_machines(build, isa, quality, built):
    """The shipped model, 24 photographs of Kodak: symbols and pixels as this machine has them in all its instruction
    sets. Under qemu each picture takes a minute, so there each has one of the qualities."""
    folder = HERE.parents[1] / "shared" / "data" / "test" / "kodak"
    paths = sorted(folder.glob("*.png"))
    if not paths:
        pytest.skip(f"no pictures in {folder}")
    qualities = [5, 25, 50, 75, 100]
    if build == "aarch64":
        paths = paths[qualities.index(quality) :: len(qualities)]
    cases = [(of_file(path.read_bytes()), quality) for path in paths]
    model = model_search.find(None)
    lines = lines_of(build, built(build), program_input(model, cases), isa)
    per_case = len(lines) // len(cases)
    for i, (pixels, _) in enumerate(cases):
        (found,) = {hashes for _, hashes in lines[i * per_case : (i + 1) * per_case]}
        for ours in _C.isas():
            _C.set_isa(ours)
            assert found.split()[5] == all_pixels(pixels, quality, model), (ours, paths[i].name)


@pytest.fixture(autouse=True)
def same_instructions_afterwards():
    before = _C.isa()
    yield
    _C.set_isa(before)
