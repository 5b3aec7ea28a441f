"""Builds fuzz targets: `python tests/fuzz/build.py decode file [--cxx clang++ --engine libfuzzer] [-o FOLDER]`.

The coder's sources and their flags are those of setup.py; the sanitizers see them all.
"""

import argparse
import os
import runpy
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from unittest import mock

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
MODEL = ROOT / "tests" / "golden" / "tiny2.safetensors"
TARGETS = ("decode", "tables", "file", "model", "embedded", "memory")
# What `file`, `model` and `memory` need of csrc beside the coder's folders, and all of the system. No decoders of
# embedded pictures: `file` and `memory` have their own, and `embedded` is of theirs.
LIBRARY = ("capi", "container", "embedded", "model", "picture")
SYSTEM_DECODERS = ("png.cpp", "webp.cpp", "jpeg.cpp")
LIBRARIES = {"file": ("-lz",), "model": ("-lz",), "memory": ("-lz",), "embedded": ("-lz", "-lpng", "-lwebp", "-ljpeg")}
DECODER_DEFINES = ("AEC_WITH_PNG", "AEC_WITH_WEBP", "AEC_WITH_JPEG")
LIBRARY_DEFINES = ("FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION", 'AEC_VERSION="fuzz"', 'AEC_MODEL_FOLDER="none"')
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer")


def default_cxx() -> list[str]:
    return shlex.split(os.environ.get("CXX", "c++"))


def coder_sources() -> list[tuple[Path, list[str]]]:
    """The torch-free, Python-free part of the extension for this machine: (source, flags of its instruction set)."""
    with mock.patch("setuptools.setup"):
        found = runpy.run_path(str(ROOT / "setup.py"))
    rooms = [ROOT / "csrc" / room for room in found["ROOMS"] if room not in ("python", *LIBRARY)]
    sources = [p for room in rooms for p in sorted(room.glob("*.cpp"))]
    return [(p, flags.split()) for p in sources if (flags := found["isa_flags"](p)) is not None]


def library_sources() -> list[Path]:
    sources = [p for room in LIBRARY for p in sorted((ROOT / "csrc" / room).glob("*.cpp"))]
    return [p for p in sources if p.name not in SYSTEM_DECODERS]


@dataclass(frozen=True)
class Builder:
    """One compiler, one folder; what does not depend on the target is compiled once.

    Args:
        folder: exists; gets objects and programs.
        cxx: compiler command.
        libfuzzer: clang's engine instead of driver.cpp.
        level: of optimisation. -O0 compiles in less than half the time, and finds the same; -O1 tries more inputs.
    """

    folder: Path
    cxx: list[str] = field(default_factory=default_cxx)
    libfuzzer: bool = False
    level: str = "-O1"

    def _compiler(self, *arguments: str) -> None:
        flags = ["-std=c++17", self.level, "-g1", "-Wall", "-Wextra", "-pthread", f"-I{ROOT / 'csrc'}", *SANITIZERS]
        command = [*self.cxx, *flags, *arguments]
        subprocess.run(command, check=True, capture_output=True, text=True)

    def _compiled(self, source: Path, flags: list[str], prefix: str = "") -> str:
        out = self.folder / f"{prefix}{source.parent.name}-{source.name}.o"
        engine = ["-fsanitize=fuzzer-no-link"] if self.libfuzzer else []
        self._compiler(*flags, *engine, "-c", str(source), "-o", str(out))
        return str(out)

    @cached_property
    def _common(self) -> list[str]:
        sources = coder_sources() + ([] if self.libfuzzer else [(HERE / "driver.cpp", [])])
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return list(pool.map(lambda source: self._compiled(*source), sources))

    @cached_property
    def _library(self) -> list[str]:
        flags = [f"-D{define}" for define in LIBRARY_DEFINES]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return list(pool.map(lambda source: self._compiled(source, flags), library_sources()))

    @cached_property
    def _decoders(self) -> list[str]:
        flags, sources = [f"-D{define}" for define in DECODER_DEFINES], (ROOT / "csrc" / "embedded").glob("*.cpp")
        return [self._compiled(source, flags, "system-") for source in sorted(sources)]

    def _more(self, target: str) -> list[str]:
        """What a target is linked with beside the coder."""
        if target in ("file", "model", "memory"):
            return self._library
        return self._decoders if target == "embedded" else []

    def build(self, target: str, defines: tuple[str, ...] = ()) -> Path:
        """The program of one of TARGETS.

        Raises:
            subprocess.CalledProcessError: with the compiler's words in `stderr`.
        """
        out = self.folder / "-".join([f"fuzz-{target}", *defines])
        flags = [*(f"-D{d}" for d in defines), f'-DAEC_FUZZ_MODEL="{MODEL}"']
        harness = self._compiled(HERE / f"{target}.cpp", flags)
        engine = ["-fsanitize=fuzzer"] if self.libfuzzer else []
        more = [*self._more(target), *LIBRARIES.get(target, ())]
        self._compiler(*engine, *self._common, harness, *more, "-o", str(out))
        return out


def main() -> int:
    parser = argparse.ArgumentParser(description="Builds fuzz targets.")
    parser.add_argument("targets", nargs="+", choices=TARGETS)
    parser.add_argument("--cxx", type=shlex.split, default=default_cxx(), help="default: $CXX or c++")
    parser.add_argument("--engine", choices=("driver", "libfuzzer"), default="driver", help="libfuzzer needs clang")
    parser.add_argument("--define", action="append", default=[], help="AEC_FUZZ_SELF_TEST: a build that must fail")
    parser.add_argument("-o", dest="folder", type=Path, default=Path("fuzz-build"), help="default: %(default)s")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    builder = Builder(args.folder, args.cxx, args.engine == "libfuzzer")
    try:
        for target in args.targets:
            print(builder.build(target, tuple(args.define)))
    except subprocess.CalledProcessError as error:
        print(error.stderr, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
