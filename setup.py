"""Builds codec._C through ninja: `pip install .`, or in place and incrementally `python setup.py build_ext --inplace`.

Environment: AEC_CUDA=auto|0|1 (auto: if a working nvcc is found; and "emulate", for tests: kernels run on the CPU, see
tests/cuda_emulation, and CXXFLAGS are for them alone), AEC_CUDA_ARCHS="80 90" (and PTX of the newest), DEBUG=1, CXX,
CXXFLAGS, LDFLAGS (without CUDA); nvcc itself reads NVCC_CCBIN, its host compiler. CXX may compile for another machine.
No torch here, no device is asked, no -march=native: a wheel runs wherever it is taken.
"""

import functools
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

# Files that need more than the baseline say so in their names; csrc/base/isa.h chooses among them at run time.
ISA_FLAGS = {
    "x86_64": {
        "_avx2": "-mavx2 -mbmi -mbmi2",
        "_avx512": "-mavx2 -mbmi -mbmi2 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vbmi -mavx512vbmi2"
        # gcc 12 warns about its own headers
        " -mavx512vnni -mprefer-vector-width=512 -Wno-uninitialized -Wno-maybe-uninitialized",
    },
    "aarch64": {"_neon": ""},
}
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
ROOT = Path(__file__).parent.resolve()
CSRC = ROOT / "csrc"
# The folders of csrc that the extension is made of. The others are the C library's: csrc/CMakeLists.txt.
ROOMS = ("base", "engine", "lossless", "model", "python", "rans", "tile")
MORE = [Path("csrc", "container", "header.cpp")]  # model ids; the rest of its folder needs zlib
BINDINGS = CSRC / "python"
EMULATION = ROOT / "tests" / "cuda_emulation"
NINJA_FILE = """\
rule cxx
  command = {cxx} {cxxflags} $ownflags -MMD -MF $out.d -c $in -o $out
  depfile = $out.d
  deps = gcc
  description = CXX $in
rule nvcc
  command = {nvcc} {nvccflags} $ownflags -MD -MF $out.d -c $in -o $out
  depfile = $out.d
  deps = gcc
  description = NVCC $in
rule link
  command = {link} $in -o $out
  description = LINK $out
"""


def cuda_archs() -> list[str]:
    archs = sorted(re.findall(r"\d+", os.environ.get("AEC_CUDA_ARCHS", "80 90")), key=int)
    if not archs:
        raise SystemExit("AEC_CUDA_ARCHS names no architecture; try AEC_CUDA_ARCHS='80 90'")
    return archs


def gencode(archs: list[str]) -> list[str]:
    flags = [f"-gencode=arch=compute_{a},code=sm_{a}" for a in archs]
    return [*flags, f"-gencode=arch=compute_{archs[-1]},code=compute_{archs[-1]}"]


def find_nvcc() -> str | None:
    for variable in ("CUDA_HOME", "CUDA_PATH"):
        if variable in os.environ:
            return shutil.which("nvcc", path=os.path.join(os.environ[variable], "bin"))
    return shutil.which("nvcc") or shutil.which("nvcc", path="/usr/local/cuda/bin")


# What of the kernels needs the newest CUDA and devices: 11.8, compute capability 8.0.
PROBE = """#include <cuda_runtime_api.h>
__global__ void probe(const __grid_constant__ unsigned x, unsigned* p) { *p = __reduce_add_sync(~0u, x); }
cudaError_t launch(unsigned* p) {
  cudaLaunchConfig_t c = {};
  return cudaLaunchKernelEx(&c, probe, 1u, p);
}
"""


def why_not(nvcc: str, archs: list[str]) -> str | None:
    """What keeps this nvcc from building a library (its age, host compiler, architectures, static runtime), or None."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "probe.cu")
        source.write_text(PROBE)
        command = [nvcc, *gencode(archs), "-std=c++17", "-Xcompiler=-fPIC", "-shared", "-cudart=static", "-o"]
        run = subprocess.run([*command, f"{folder}/probe.so", str(source)], capture_output=True, text=True)
    lines = (run.stderr + run.stdout).strip().splitlines()
    if run.returncode == 0:
        return None
    told = [line for line in lines if "error" in line or "fatal" in line] or lines
    return told[0] if told else f"{nvcc}: exit status {run.returncode}"


def choose_nvcc() -> str | None:
    wanted = os.environ.get("AEC_CUDA", "auto")
    if wanted not in ("auto", "0", "1", "emulate"):
        raise SystemExit(f"AEC_CUDA={wanted}: expected auto, 0, 1 or emulate")
    off = wanted in ("0", "emulate")
    nvcc = None if off else find_nvcc()
    if nvcc is None:
        reason = "switched off" if off else "nvcc not found (PATH, CUDA_HOME, /usr/local/cuda)"
    else:
        reason = why_not(nvcc, cuda_archs())
    if reason is None:
        return nvcc
    if wanted == "1":
        raise SystemExit(f"AEC_CUDA=1, but CUDA cannot be built: {reason}")
    print(f"aec: building without CUDA: {reason}")
    return None


def ninja_path() -> str:
    try:
        import ninja  # in an isolated build it is importable, but not always on PATH

        return os.path.join(ninja.BIN_DIR, "ninja")
    except ImportError:
        return shutil.which("ninja") or "ninja"


def escape(path: Path) -> str:
    return re.sub(r"([$ :])", r"$\1", str(path))


@functools.cache
def target_machine() -> str:
    """What the compiler compiles for; this machine, if it does not say."""
    command = [*shlex.split(os.environ.get("CXX", "c++")), "-dumpmachine"]
    # Only its answer counts: zig gives one, and then ends with an error, where the target has a version of glibc.
    run = subprocess.run(command, capture_output=True, text=True)
    return known_as(run.stdout.split("-")[0].strip() or platform.machine())


def known_as(machine: str) -> str:
    return MACHINES.get(machine.lower(), machine.lower())


def name_for_target() -> None:
    """Where the compiler is one for another machine, have the extension and the wheel named for that machine.

    The headers of this Python are used: those of CPython are the same on all Linux machines of 64 bits.
    """
    here, there = known_as(platform.machine()), target_machine()
    if sys.platform == "linux" and here != there and there in ISA_FLAGS:
        os.environ.setdefault("_PYTHON_HOST_PLATFORM", f"linux-{there}")
        os.environ.setdefault("SETUPTOOLS_EXT_SUFFIX", sysconfig.get_config_var("EXT_SUFFIX").replace(here, there))


def isa_flags(source: Path) -> str | None:
    """Compiler flags of a source, from its name; None if it is for other machines."""
    here = ISA_FLAGS.get(target_machine(), {})
    for suffix in {s for flags in ISA_FLAGS.values() for s in flags}:
        if source.stem.endswith(suffix):
            return here.get(suffix)
    return ""


def emulated_flags(source: Path, sanitizers: str) -> str:
    """Compiler flags of a source where kernels are emulated: the sanitizers see these and their bindings only.

    Of all sources they would take three times as long to compile; and the others are what tests/fuzz looks at. Nor do
    the bindings have the one for undefined behaviour, which alone doubles the time that pybind11's templates take.
    """
    seen = EMULATION in source.parents or source.suffix == ".cu" or source.stem.endswith("_cuda")
    if BINDINGS in source.parents:  # most of the time is theirs, and none of the work
        return f" {sanitizers} -fno-sanitize=undefined -O0" if seen else " -O0"
    return f" {sanitizers}" if seen else " -O1"


class NinjaBuildExt(build_ext):
    def build_extension(self, ext: Extension) -> None:
        import pybind11

        nvcc, archs, emulate = choose_nvcc(), cuda_archs(), os.environ.get("AEC_CUDA") == "emulate"
        debug = os.environ.get("DEBUG", "0") not in ("", "0")
        optimise = ["-O0", "-g"] if debug else ["-O3", "-DNDEBUG"]
        warn = ["-Wall", "-Wextra"]
        cxxflags = ["-std=c++17", "-fPIC", "-fvisibility=hidden", *warn, "-pthread", *optimise, f"-I{CSRC}"]
        cxxflags.append("-ffp-contract=off")  # the encoder's choices are the same with and without fused multiply-add
        cxxflags.append("-fno-trapping-math")  # nobody reads the exception flags; AVX2 makes vectors of those choices
        if nvcc:
            names = " ".join([*(f"sm_{a}" for a in archs), f"compute_{archs[-1]}"])
            cxxflags += ["-DAEC_WITH_CUDA", f'-DAEC_CUDA_ARCHS="{names}"']
        given = os.environ.get("CXXFLAGS", "")
        cxxflags += [] if emulate else shlex.split(given)
        nvccflags = ["-std=c++17", f"-I{CSRC}", "-Xcompiler=-fPIC,-fvisibility=hidden", *gencode(archs)]
        nvccflags += ["-O0", "-g", "-G"] if debug else ["-O3", "-DNDEBUG", "-lineinfo"]
        cxx = shlex.split(os.environ.get("CXX", "c++"))
        # nvcc knows where its own static runtime lives.
        link = [nvcc, "-shared", "-cudart=static", "-Xcompiler=-pthread"] if nvcc else [*cxx, "-shared", "-pthread"]
        cu_compiler, sources = [nvcc] if nvcc else [], list(map(Path, ext.sources))
        if emulate:
            cxxflags += ["-DAEC_WITH_CUDA", '-DAEC_CUDA_ARCHS="emulated"']
            runtime = ["-include", str(EMULATION / "cuda_runtime_api.h"), "-I", str(EMULATION), "-Wno-unknown-pragmas"]
            cu_compiler, nvccflags = [*cxx, "-x", "c++", *runtime], cxxflags
            sources.append(EMULATION / "runtime.cpp")
            link += shlex.split(given)  # sanitizers
        if not nvcc:  # whose flags are others
            link += shlex.split(os.environ.get("LDFLAGS", ""))
        if sysconfig.get_platform().startswith("macosx"):
            link += ["-undefined", "dynamic_lookup"]
        elif not debug and not emulate and not any(f.startswith(("-g", "-fsanitize")) for f in shlex.split(given)):
            link += ["-Xlinker", "-s"]  # no symbols but those that Python looks up; compilers and nvcc know this flag

        # Only the bindings are given Python's headers: a build for one more Python compiles no more than them.
        python = shlex.join(f"-I{path}" for path in (sysconfig.get_path("include"), pybind11.get_include()))
        build = Path(self.build_temp).resolve()
        target = Path(self.get_ext_fullpath(ext.name)).resolve()
        for folder in (build, target.parent):
            folder.mkdir(parents=True, exist_ok=True)
        lines, objects = [], []
        for source in sources:
            flags = python if BINDINGS in (ROOT / source).parents else isa_flags(source)
            if (source.suffix == ".cu" and not cu_compiler) or flags is None:
                continue
            if emulate:
                flags += emulated_flags(ROOT / source, given)
            objects.append(escape(build / f"{source.name}.o"))
            rule = "nvcc" if source.suffix == ".cu" else "cxx"
            lines.append(f"build {objects[-1]}: {rule} {escape(ROOT / source)}\n  ownflags = {flags}")
        lines.append(f"build {escape(target)}: link {' '.join(objects)}\n")
        quoted = {
            "cxx": shlex.join(cxx),
            "cxxflags": shlex.join(cxxflags),
            "nvcc": shlex.join(cu_compiler),
            "nvccflags": shlex.join(nvccflags),
            "link": shlex.join(link),
        }
        (build / "build.ninja").write_text(NINJA_FILE.format(**quoted) + "\n".join(lines))
        subprocess.run([ninja_path(), "-C", str(build), *(["-v"] if self.verbose > 1 else [])], check=True)


def csrc(*suffixes: str) -> list[str]:
    files = (p for room in ROOMS for p in (CSRC / room).iterdir())
    found = [*(p.relative_to(ROOT) for p in files), *MORE]
    return sorted(str(p) for p in found if p.suffix in suffixes)


name_for_target()
setup(
    ext_modules=[Extension("codec._C", sources=csrc(".cpp", ".cu"), depends=csrc(".h", ".cuh"))],
    cmdclass={"build_ext": NinjaBuildExt},
)
