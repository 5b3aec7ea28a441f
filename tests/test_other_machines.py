"""csrc computes the same where Python's extension is not built: ARM and WebAssembly, under qemu and node.

Debian's g++-aarch64-linux-gnu with qemu-user-static, and emscripten with nodejs; what is not installed is skipped.
"""

import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
from photos import photo

from codec.coding import engine, model_file, tiles
from codec.coding.tile_input import tile_input
from codec.container.format import Tile
from codec.picture.pixels import Pixels

HERE = Path(__file__).parent
CSRC = HERE.parent / "csrc"
MODEL = HERE / "golden" / "tiny4.safetensors"
SOURCES = ("analysis", "executor", "nets_cpu", "nets_pack", "nets_scalar", "nets_simd128", "pack", "program")
SOURCES += ("projection", "synthesis")
TYPES = {"int16": 0, "int32": 1, "uint8": 2}
NETS = ("analysis", "hyper_analysis", "entropy", "synthesis")
CASES = ((64, 128, 1), (128, 64, 60), (64, 64, 100))  # rows and columns of pixels, multiples of 64, and quality
BUILDS = {
    "aarch64": (
        "aarch64-linux-gnu-g++ -static -pthread {neon}",
        ["qemu-aarch64-static"],
        {"scalar", "neon"},
    ),
    "wasm": (
        "em++ -msimd128 -s STANDALONE_WASM=1 -s ALLOW_MEMORY_GROWTH=1",
        ["node", "--no-warnings", str(HERE / "other_machines" / "run_wasm.mjs")],
        {"scalar", "simd128"},
    ),
}


def pictures():
    return [Pixels(photo(height, width, seed=quality)) for height, width, quality in CASES]


def numbers(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}i", *values)


def program_input() -> bytes:
    """What other_machines/digest.cpp reads: a model, and pictures."""
    file = model_file.load(MODEL)
    c = file.config
    parts = [numbers(c.latents, c.hyper, c.context, c.steps, c.wide8, c.blocks8, c.wide16, c.blocks16)]
    tensors = {f"{net}.{k}": v for net in NETS for k, v in engine._integers(file.tensors, net).items()}
    parts.append(numbers(len(tensors)))
    for name, v in tensors.items():
        parts += [numbers(len(name)), name.encode(), numbers(TYPES[str(v.dtype)], v.ndim, *v.shape)]
        parts.append(v.astype(v.dtype.newbyteorder("<")).tobytes())
    parts += [file.dead_zones.astype("<i2").tobytes(), numbers(len(CASES))]
    for pixels, (height, width, quality) in zip(pictures(), CASES, strict=True):
        parts.append(numbers(height // 64, width // 64, quality))
        parts.append(tile_input(pixels, Tile(0, 0, width, height)).astype("<i2").tobytes())
    return b"".join(parts)


def fnv1a(data: bytes) -> str:
    value = 14695981039346656037
    for byte in data:
        value = (value ^ byte) * 1099511628211 % 2**64
    return f"{value:016x}"


def first_hashes(pixels: Pixels, quality: int) -> list[str]:
    """Of latents and hyperlatents, as the extension says."""
    encoder = engine.encoder(MODEL)
    y, z = tiles.analyse(encoder, pixels, Tile(0, 0, pixels.width, pixels.height), quality, effort=1)
    return [fnv1a(v.astype("<i2").tobytes()) for v in (y, z)]


def all_pixels(pixels: Pixels, quality: int) -> str:
    """Of the decoded picture's samples of 8 bits."""
    encoder = engine.encoder(MODEL)
    y, z = tiles.analyse(encoder, pixels, Tile(0, 0, pixels.width, pixels.height), quality, effort=1)
    latents = encoder.quantise(quality, y, z).latents
    out = np.empty((pixels.height, pixels.width, 3), np.uint8)
    encoder.decoder.synthesis._handle.run(
        latents, at=(0, 0), picture=latents.shape[:2], quality=quality, shrink=1, branch=True, origin=(0, 0), out=out
    )
    return fnv1a(out.tobytes())


@pytest.mark.parametrize("build", BUILDS)
def test_another_machine_computes_the_same(build, tmp_path):
    compiler, runner, isas = BUILDS[build]
    for tool in (compiler.split()[0], runner[0]):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    program = tmp_path / "digest.wasm"  # by its name em++ knows what to make
    sources = [HERE / "other_machines" / "digest.cpp", CSRC / "base" / "isa.cpp"]
    sources += [CSRC / "engine" / f"{name}.cpp" for name in SOURCES]
    command = compiler.format(neon=CSRC / "engine" / "nets_neon.cpp").split()
    subprocess.run([*command, "-std=c++17", "-O1", f"-I{CSRC}", *map(str, sources), "-o", str(program)], check=True)
    said = subprocess.run([*runner, str(program)], input=program_input(), capture_output=True, check=True).stdout
    lines = [line.split(": ") for line in said.decode().splitlines()]
    assert {head.split()[0] for head, _ in lines} == isas
    per_case = len(lines) // len(CASES)
    for i, (pixels, (_, _, quality)) in enumerate(zip(pictures(), CASES, strict=True)):
        (found,) = {hashes for _, hashes in lines[i * per_case : (i + 1) * per_case]}
        assert found.split()[:2] == first_hashes(pixels, quality)
        assert found.split()[5] == all_pixels(pixels, quality)
