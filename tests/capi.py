"""The C library for tests: built by CMake once, and called by ctypes."""

import ctypes
import fcntl
import os
import shutil
import subprocess
from contextlib import contextmanager
from ctypes import POINTER, byref, c_char, c_char_p, c_double, c_int32, c_size_t, c_uint8, c_uint32, c_uint64, c_void_p
from pathlib import Path

import numpy as np
import pytest

from codec import errors

CSRC = Path(__file__).resolve().parents[1] / "csrc"
KINDS = ("icc", "exif", "xmp", "cicp", "bits", "extra")
STATUSES = {
    0: None,
    1: errors.NotAecError,
    2: errors.UnsupportedVersionError,
    3: errors.TruncatedError,
    4: errors.CorruptError,
    5: errors.LimitError,
    6: errors.ModelError,
    7: NotImplementedError,
    8: ValueError,
    9: MemoryError,
    10: OSError,
    11: InterruptedError,
    12: AssertionError,
}


class Error(ctypes.Structure):
    _fields_ = [("status", c_int32), ("message", c_char * 508)]


ALLOCATE = ctypes.CFUNCTYPE(c_void_p, c_void_p, c_size_t)
RELEASE = ctypes.CFUNCTYPE(None, c_void_p, c_void_p)


class Allocator(ctypes.Structure):
    _fields_ = [("allocate", ALLOCATE), ("release", RELEASE), ("user", c_void_p)]


class OpenOptions(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("max_pixels", c_uint64),
        ("max_side", c_uint32),
        ("allow_partial", c_int32),
        ("allocator", POINTER(Allocator)),
    ]


class ModelOptions(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("path", c_char_p),
        ("data", c_char_p),
        ("size", c_size_t),
        ("id", c_char_p),
        ("folders", c_char_p),
        ("threads", c_uint32),
        ("allocator", POINTER(Allocator)),
    ]


_INFO = "width height depth gray alpha quality needs_model stored exact mapped tile tiles parts first".split()


class Info(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        *((name, c_uint32) for name in _INFO),
        ("model_id", c_uint8 * 4),
        ("reserved", c_uint32),
    ]


class Missing(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        *((name, c_uint32) for name in ("what", "x", "y", "width", "height", "parts", "of", "kind")),
    ]


class Embedded(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("kind", c_int32),
        ("data", POINTER(c_uint8)),
        ("size", c_size_t),
        ("width", c_uint32),
        ("height", c_uint32),
        ("depth", c_uint32),
        ("cmyk", c_uint32),
        ("pixels", c_void_p),
        ("stride", c_size_t),
    ]


PROGRESS = ctypes.CFUNCTYPE(c_int32, c_void_p, c_double)
EMBEDDED = ctypes.CFUNCTYPE(c_int32, c_void_p, POINTER(Embedded))


class DecodeOptions(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        *((name, c_uint32) for name in ("x", "y", "width", "height", "shrink", "depth", "channels", "threads")),
        ("progress", PROGRESS),
        ("progress_user", c_void_p),
        ("embedded", EMBEDDED),
        ("embedded_user", c_void_p),
    ]


class PixelSizes(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        *((name, c_uint32) for name in ("width", "height", "channels", "depth")),
        ("row_bytes", c_uint64),
        ("bytes", c_uint64),
    ]


def build(folder: Path, *options: str, targets: tuple[str, ...] = ()) -> Path:
    """Build the C library into a folder. Skips the test, with the reason, where a tool is missing."""
    if missing := [tool for tool in ("cmake", "c++") if shutil.which(tool) is None]:
        pytest.skip(f"{missing[0]} is not installed")
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    commands = [["cmake", *generator, "-S", str(CSRC), "-B", str(folder), *options]]
    commands.append(["cmake", "--build", str(folder), "-j2", *(["--target", *targets] if targets else [])])
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode and "Could NOT find ZLIB" in done.stderr:
            pytest.skip("zlib's headers are not installed")
        assert done.returncode == 0, done.stdout + done.stderr
    return folder


@contextmanager
def locked(path: Path):
    """Only one process at a time."""
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class Library:
    """libaecodec.so. Methods raise the exception of `STATUSES` that belongs to a status."""

    def __init__(self, path: Path):
        self.c = ctypes.CDLL(str(path))
        self.c.aec_missing_count.restype = c_uint64
        self.c.aec_missing_count.argtypes = [c_void_p]
        self.c.aec_status_name.restype = self.c.aec_version.restype = c_char_p
        for name in ("aec_close", "aec_model_close"):
            getattr(self.c, name).argtypes = [c_void_p]
            getattr(self.c, name).restype = None

    def call(self, name: str, *arguments) -> None:
        error = Error(-1, b"untouched")
        status = getattr(self.c, name)(*arguments, byref(error))
        assert error.status == status
        message = error.message.decode()
        assert bool(message) == bool(status)
        if status:
            raise STATUSES[status](message)

    def made(self, kind: type, **fields):
        """An initialised struct."""
        value = kind()
        names = {OpenOptions: "open_options", DecodeOptions: "decode_options", PixelSizes: "pixels"}
        names[ModelOptions] = "model_options"
        init = getattr(self.c, f"aec_{names.get(kind, kind.__name__.lower())}_init")
        init(byref(value), c_size_t(ctypes.sizeof(value)))
        for name, field in fields.items():
            setattr(value, name, field)
        return value

    def read_info(self, data: bytes) -> Info:
        info = self.made(Info)
        self.call("aec_read_info", data, c_size_t(len(data)), byref(info))
        return info

    def open(self, data: bytes | Path, **options) -> "File":
        given, handle = self.made(OpenOptions, **options), c_void_p()
        if isinstance(data, Path):
            self.call("aec_open_path", os.fsencode(data), byref(given), byref(handle))
        else:
            self.call("aec_open_memory", data, c_size_t(len(data)), byref(given), byref(handle))
        return File(self, handle, data)

    def model(self, source: bytes | Path) -> "Model":
        handle = c_void_p()
        if isinstance(source, Path):
            self.call("aec_model_open_path", os.fsencode(source), c_uint32(0), byref(handle))
        else:
            self.call("aec_model_open_memory", source, c_size_t(len(source)), c_uint32(0), byref(handle))
        return Model(self, handle)

    def find_model(self, id: bytes, folders: str | None) -> "Model":
        handle = c_void_p()
        self.call("aec_model_find", id, folders and folders.encode(), c_uint32(0), byref(handle))
        return Model(self, handle)


class Model:
    def __init__(self, library: Library, handle: c_void_p):
        self.library, self.handle = library, handle

    def __del__(self):
        self.library.c.aec_model_close(self.handle)

    @property
    def id(self) -> bytes:
        out = ctypes.create_string_buffer(4)
        self.library.c.aec_model_get_id(self.handle, out)
        return out.raw


class File:
    def __init__(self, library: Library, handle: c_void_p, data: object):
        self.library, self.handle, self.data = library, handle, data

    def __del__(self):
        self.library.c.aec_close(self.handle)

    @property
    def info(self) -> Info:
        info = self.library.made(Info)
        self.library.call("aec_get_info", self.handle, byref(info))
        return info

    def stage(self, part: int) -> int:
        out = c_uint64()
        self.library.call("aec_get_stage", self.handle, c_uint32(part), byref(out))
        return out.value

    def metadata(self, kind: int) -> bytes | None:
        data, size = POINTER(c_uint8)(), c_size_t()
        self.library.call("aec_get_metadata", self.handle, c_int32(kind), byref(data), byref(size))
        return ctypes.string_at(data, size.value) if data else None

    def extra(self, type: str) -> bytes | None:
        data, size = POINTER(c_uint8)(), c_size_t()
        self.library.call("aec_get_extra", self.handle, type.encode(), byref(data), byref(size))
        return ctypes.string_at(data, size.value) if data else None

    def embedded(self) -> tuple[bytes | None, int]:
        data, size, kind = POINTER(c_uint8)(), c_size_t(), c_int32()
        self.library.call("aec_get_embedded", self.handle, byref(data), byref(size), byref(kind))
        return (ctypes.string_at(data, size.value) if data else None), kind.value

    @property
    def missing(self) -> list[Missing]:
        found = []
        for i in range(self.library.c.aec_missing_count(self.handle)):
            found.append(self.library.made(Missing))
            self.library.call("aec_get_missing", self.handle, c_uint64(i), byref(found[-1]))
        return found

    def sizes(self, **options) -> PixelSizes:
        sizes = self.library.made(PixelSizes)
        given = self.library.made(DecodeOptions, **options)
        self.library.call("aec_get_pixels", self.handle, byref(given), byref(sizes))
        return sizes

    def decode(self, model: Model | None = None, padding: int = 0, **options) -> np.ndarray:
        """The pixels, [H, W] or [H, W, C]. padding: bytes after each row, which the library must not touch."""
        sizes, given = self.sizes(**options), self.library.made(DecodeOptions, **options)
        stride = sizes.row_bytes + padding
        out = np.full((sizes.height, stride), 0xA5, np.uint8)
        arguments = [self.handle, model and model.handle, byref(given), c_void_p(out.ctypes.data)]
        self.library.call("aec_decode_picture", *arguments, c_size_t(stride), c_size_t(out.size - padding))
        assert (out[:, sizes.row_bytes :] == 0xA5).all()
        samples = np.ascontiguousarray(out[:, : sizes.row_bytes]).view(f"uint{sizes.depth}")
        shape = (sizes.height, sizes.width, sizes.channels)
        return samples.reshape(shape[:2] if sizes.channels == 1 else shape)
