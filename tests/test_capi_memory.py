"""Memory of the caller in the C library. tests/fuzz/memory.cpp lets each allocation fail, under the sanitizers."""

import ctypes
import subprocess
import sys
from ctypes import byref, c_size_t, c_void_p
from pathlib import Path

import capi
import numpy as np
import pytest
from test_capi import GOLDEN, golden, model_of

from codec import errors
from codec.coding import model_search

LIBC = ctypes.CDLL(None)
LIBC.malloc.restype, LIBC.malloc.argtypes = c_void_p, [c_size_t]
LIBC.free.restype, LIBC.free.argtypes = None, [c_void_p]
WIDE = golden("tiny2-alpha-tiles-150x100")


class Heap:
    """malloc, counted: `live` are the sizes of what was not given back; `limit` is the most bytes that there can be."""

    def __init__(self, limit: int = 1 << 40):
        self.live: dict[int, int] = {}
        self.most = self.asked = 0
        self.allocator = capi.Allocator(capi.ALLOCATE(self._allocate), capi.RELEASE(self._release), 7)
        self.limit = limit

    def _allocate(self, user: int, size: int) -> int | None:
        assert user == 7 and size > 0
        if sum(self.live.values()) + size > self.limit:
            return None
        at = LIBC.malloc(size)
        self.live[at] = size
        self.asked += 1
        self.most = max(self.most, sum(self.live.values()))
        return at

    def _release(self, user: int, at: int) -> None:
        assert user == 7
        del self.live[at]
        LIBC.free(at)


def model_with(library: capi.Library, heap: Heap, **source) -> capi.Model:
    handle, allocator = c_void_p(), ctypes.pointer(heap.allocator)
    library.call("aec_model_open", byref(library.made(capi.ModelOptions, allocator=allocator, **source)), byref(handle))
    return capi.Model(library, handle)


def test_a_file_and_its_decoding_use_the_callers_memory_and_give_it_back(c_library):
    heap, model = Heap(), c_library.model(model_of(WIDE))
    file = c_library.open(WIDE, allocator=ctypes.pointer(heap.allocator))
    opened = sum(heap.live.values())
    assert opened >= WIDE.stat().st_size  # the copy of the file
    decoded = file.decode(model, threads=3)
    assert np.array_equal(decoded, c_library.open(WIDE).decode(model))
    assert sum(heap.live.values()) == opened and heap.most > opened + 150 * 100
    file.metadata(0)
    del file
    assert heap.live == {}


@pytest.mark.parametrize("by", ["path", "data", "id"])
def test_a_models_weights_lie_in_the_callers_memory(c_library, by):
    path, heap = model_search.find(None), Heap()
    data, model_id = path.read_bytes(), c_library.model(path).id
    sources = {
        "path": {"path": str(path).encode()},
        "data": {"data": data, "size": len(data)},
        "id": {"id": model_id, "folders": str(path.parent).encode()},
    }
    model = model_with(c_library, heap, **sources[by])
    assert model.id == model_id
    assert sum(heap.live.values()) > len(data) / 3  # the decoder's half
    del model
    assert heap.live == {}


def test_what_does_not_fit_into_the_callers_memory_is_a_memory_error_that_leaves_nothing(c_library):
    model = c_library.model(model_of(WIDE))
    small = Heap(limit=100)
    with pytest.raises(MemoryError):
        c_library.open(WIDE, allocator=ctypes.pointer(small.allocator))
    heap = Heap()
    file = c_library.open(WIDE, allocator=ctypes.pointer(heap.allocator))
    kept = dict(heap.live)
    heap.limit = sum(kept.values()) + 20_000
    with pytest.raises(MemoryError):
        file.decode(model)
    assert heap.live == kept
    heap.limit = 1 << 40
    assert np.array_equal(file.decode(model), c_library.open(WIDE).decode(model))
    assert small.live == {}


def test_a_model_has_one_source(c_library):
    heap, path = Heap(), str(GOLDEN / "tiny2.safetensors").encode()
    for source, words in [
        ({"path": path, "id": b"1234"}, "path and id: only one"),
        ({"path": path, "data": b"x", "size": 1}, "data beside a path or an id"),
        ({"size": 1}, "data is NULL"),
        ({"path": path, "folders": b"/"}, "folders without an id"),
    ]:
        with pytest.raises(ValueError, match=words):
            model_with(c_library, heap, **source)
    with pytest.raises(errors.ModelError):
        model_with(c_library, heap)  # of no bytes
    heap.allocator.release = capi.RELEASE()
    with pytest.raises(ValueError, match="allocate or release of the allocator is NULL"):
        model_with(c_library, heap, path=path)


def test_an_encoder_gives_all_memory_back_though_tables_outlive_it(c_build):
    """In a process of its own, where no encoder has made the tables of perceived errors before."""
    code = """if True:
        import ctypes, sys
        sys.path[:0] = [sys.argv[2]]
        import capi
        from test_capi_memory import Heap
        library, heap, handle = capi.Library(sys.argv[1]), Heap(), ctypes.c_void_p()
        options = library.made(capi.ModelOptions, allocator=ctypes.pointer(heap.allocator), path=sys.argv[3].encode())
        library.call("aec_encoder_open", ctypes.byref(options), ctypes.byref(handle))
        assert heap.asked > 100
        library.c.aec_encoder_close(handle)
        assert heap.live == {}, sum(heap.live.values())
    """
    here, model = Path(__file__).parent, model_search.find("eye")
    done = subprocess.run(
        [sys.executable, "-c", code, c_build / "libaecodec.so", here, model], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
