"""Decodes and encodes in a process of its own, and prints a hash of each result.

It runs as a script, in any Python that has `codec` and numpy: also in that of another machine, and with an extension
that takes the place of the installed one (--extension FILE).

stdin: JSON {isa, emulates_cuda, tasks}. isa: the instruction set to use; null: the machine's best. A task is
{"decode": FILE, threads, depth, areas} or {"encode": PICTURE.npy, quality, side, model}; areas are [x, y, width,
height], in the order in which they are decoded. stdout: a line [number of the task, SHA-256] for each.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

Decode = Callable[[bytes, tuple[int, int, int, int], int], np.ndarray]


def coded(picture: np.ndarray, quality: int, side: int, model: str) -> bytes:
    """What `codec.encode` would write, but in tiles of that side, and never stored."""
    from codec.api import DEFAULT_EFFORT
    from codec.coding import model_search, tiles
    from codec.picture.pixels import to_pixels

    encoder, pixels = tiles.encoder_for(model_search.find(model), "cpu"), to_pixels(picture)
    header = pixels.header(quality, encoder.file.id, side)
    return tiles.file(encoder, header, tiles.encode(encoder, pixels, header, DEFAULT_EFFORT))


def hash_of(samples: np.ndarray) -> str:
    """Of the samples in their order, those of 16 bits with the low byte first."""
    return hashlib.sha256(samples.astype(samples.dtype.newbyteorder("<")).tobytes()).hexdigest()


def by_engine(data: bytes, area: tuple[int, int, int, int], depth: int) -> np.ndarray:
    import codec

    return codec.decode(data, "cpu", output="numpy", region=area, depth=depth)


def by_emulated_cuda() -> Decode:
    """By the kernels of the GPU for networks, symbols and pixels, emulated."""
    import torch

    from codec import _C
    from codec.coding import decoder, engine, model_file, rans_cuda, segment_walk
    from codec.coding.segment_walk_cuda import CudaNets, CudaWalk
    from codec.coding.synthesis_cuda import CudaSynthesis
    from codec.container import format
    from codec.nets import torch_codec
    from codec.nets.torch_decoder import TorchDecoder

    if _C.cuda_archs() != "emulated":
        raise RuntimeError(f"the extension is built for {_C.cuda_archs() or 'no CUDA'}, and not for the emulation")
    cpu = torch.device("cpu")

    class Emulated(TorchDecoder):
        nets: CudaNets

        def read(self, coded: decoder.CodedTile) -> torch.Tensor:
            walk = CudaWalk(self.nets, coded.quality, *coded.size)
            symbols = rans_cuda.Decoder(self.tables, coded.payload, cpu)
            for k in range(walk.segments):
                walk.accept(k, symbols.decode(walk.predict(k)))
            symbols.finish()
            return (walk.latents().permute(1, 2, 0) * 2**segment_walk.FRACTION_BITS).to(torch.int16)

    def decode(data: bytes, area: tuple[int, int, int, int], depth: int) -> np.ndarray:
        layout = format.read(data)
        model = torch_codec.of_file(model_file.load_for(layout.header.model_id, None), cpu, "reference")
        packed = engine.of_model(model.file).synthesis.handle
        synthesis = CudaSynthesis(model.config, model.file.levels, packed, cpu)
        emulated = Emulated(model.walk, model.file, synthesis, cpu)
        emulated.nets = CudaNets(model.config, segment_walk.cpu_nets(model.net), cpu)
        coded = decoder.Coded.of(emulated, layout)
        return decoder.decode(emulated, coded, format.Tile(*area), depth=depth)

    return decode


def put_together(data: bytes, areas: list[tuple[int, int, int, int]], depth: int, decode: Decode) -> np.ndarray:
    """The picture, from areas that cover it."""
    width, height = (max(area[i] + area[2 + i] for area in areas) for i in (0, 1))
    whole = None
    for x, y, w, h in areas:
        part = decode(data, (x, y, w, h), depth)
        if whole is None:
            whole = np.zeros((height, width, *part.shape[2:]), part.dtype)
        whole[y : y + h, x : x + w] = part
    assert whole is not None
    return whole


def main() -> None:
    if sys.argv[1:2] == ["--extension"]:  # before codec is imported, which would import its own
        spec = importlib.util.spec_from_file_location("codec._C", sys.argv[2])
        assert spec is not None and spec.loader is not None
        sys.modules["codec._C"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["codec._C"])
    from codec import _C
    from codec.coding import threads

    job = json.load(sys.stdin)
    if job["isa"] is not None:
        _C.set_isa(job["isa"])
    decode = by_emulated_cuda() if job["emulates_cuda"] else by_engine
    for i, task in enumerate(job["tasks"]):
        threads.use(task.get("threads", 2))
        if "decode" in task:
            areas = [tuple(area) for area in task["areas"]]
            found = hash_of(put_together(Path(task["decode"]).read_bytes(), areas, task["depth"], decode))
        else:
            data = coded(np.load(task["encode"]), task["quality"], task["side"], task["model"])
            found = hashlib.sha256(data).hexdigest()
        print(json.dumps([i, found]), flush=True)


if __name__ == "__main__":
    main()
