"""Files that were written by any version of the format decode to the same pixels for ever."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import codec
from codec.container import format

from .check import GOLDEN, Check, Extent, Measured, aec, need_tests, tests
from .pictures import photo


def verified(extent: Extent) -> Measured:
    """`aec verify --deep` on every golden file, with the model that wrote it."""
    need_tests()
    by_model: dict[Path | None, list[Path]] = {}
    for path in sorted(GOLDEN.rglob("*.aec")):
        if path.parent.name == "shipped":
            model = None  # found by its id
        elif path.parent.name == "collections":
            model = GOLDEN / "tiny-collection.safetensors"
        else:
            model = GOLDEN / json.loads(path.with_suffix(".json").read_text())["model"]
        by_model.setdefault(model, []).append(path)
    wrong, n = [], 0
    for model, paths in by_model.items():
        done = aec("verify", "--deep", *(["--model", model] if model else []), *paths)
        n += len(paths)
        if done.returncode:
            wrong += done.stderr.strip().splitlines()
    versions = sorted({path.name.partition("-")[0] for path in GOLDEN.glob("*.aec")})
    figure = f"{n} golden files of {', '.join(versions)}: {len(wrong)} failures {' '.join(wrong)[:200]}"
    return Measured(figure.strip(), not wrong and n > 0)


def unknown_model(extent: Extent) -> Measured:
    data = codec.encode(photo(32, 32), 50, "cpu")
    header, layout = codec.inspect(data), format.read(data)
    other = codec.Header(header.width, header.height, header.quality, bytes.fromhex("deadbeef"))
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "a.aec"
        path.write_bytes(format.write(other, [bytes(layout.payloads[0])]))
        done = aec("decompress", path)
    named = "deadbeef" in done.stderr
    return Measured(
        f"exit code {done.returncode}, {'naming' if named else 'NOT NAMING'} the model", done.returncode == 6 and named
    )


CHECKS = [
    Check(14, "`aec verify --deep` on every golden file, with its model", verified),
    Check(14, "hashes of latents and of pixels of every golden file", tests("test_golden.py")),
    Check(14, "a file of a model that is not there", unknown_model),
]
