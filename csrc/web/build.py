"""Builds the npm package for browsers and node: python csrc/web/build.py OUT [--model NAME ..] [--page].

OUT gets the JavaScript of package/, aec.wasm, and a packed model file for each --model (by default all that ship with
aec) in models/. With --page it also gets the page to try it: index.html with aec-encode.wasm and the encoders' models.
Needs emscripten (Debian's 3.1.6 will do); only its compiler is used, none of its JavaScript. For the
models Python's `codec` must be importable.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent.resolve()
CSRC = HERE.parent
ROOMS = ("base", "capi", "container", "embedded", "engine", "lossless", "model", "picture", "rans", "tile", "web")
# What other machines run, what links libraries that are not there, and what reads files.
SKIPPED = ("_avx2", "_avx512", "_neon", "_shani", "_x86")
ABSENT = ("embedded/png.cpp", "embedded/webp.cpp", "embedded/jpeg.cpp", "model/files.cpp")
FLAGS = ["-std=c++17", "-DNDEBUG", "-msimd128", "-fwasm-exceptions", "-ffp-contract=off", "-Wall", "-Wextra"]
FLAGS += ["-fno-rtti"]
FLAGS += ["-Wno-c++11-narrowing"]  # ptrdiff_t{uint32_t} is no narrowing where pointers have 64 bits
# Where the time goes: the beginnings of the names. All else is compiled for size, so that the module stays small.
FAST = ("rans/coder_scalar", "lossless/", "tile/", "engine/nets_simd128", "engine/executor", "engine/analysis")
FAST += ("engine/projection",)
FLAGS += [f"-I{CSRC}", f"-I{HERE / 'zlib'}"]
LINK = ["-s", "STANDALONE_WASM=1", "--no-entry", "-s", "ALLOW_MEMORY_GROWTH=1", "-s", "MAXIMUM_MEMORY=4GB"]
LINK += ["-s", "EXPORTED_FUNCTIONS=['_malloc','_free']", "-s", "MALLOC=emmalloc"]
LINK += ["-s", "ERROR_ON_UNDEFINED_SYMBOLS=0", "-s", "WARN_ON_UNDEFINED_SYMBOLS=0"]  # they are JavaScript's
FEATURES = ["--enable-simd", "--enable-exception-handling", "--enable-bulk-memory", "--enable-mutable-globals"]
FEATURES += ["--enable-sign-ext", "--enable-nontrapping-float-to-int"]
ASSETS = ("dom.js", "style.css", "view.js")  # of the bench's pages, which compare pictures in the same way


def sources() -> list[Path]:
    found = [path for room in ROOMS for path in sorted((CSRC / room).glob("*.cpp"))]
    left_out = {CSRC / name for name in ABSENT}
    return [path for path in found if path not in left_out and not path.stem.endswith(SKIPPED)]


def version() -> str:
    text = (CSRC.parent / "codec" / "__init__.py").read_text()
    return text.split('__version__ = "')[1].split('"')[0]


def copy_scripts(out: Path, page: bool) -> None:
    shutil.copytree(HERE / "package", out, dirs_exist_ok=True)
    shutil.copy(CSRC.parent / "LICENSE", out)
    about = json.loads((out / "package.json").read_text()) | {"version": version()}
    (out / "package.json").write_text(json.dumps(about, indent=2) + "\n")
    if page:
        shutil.copytree(HERE / "page", out, dirs_exist_ok=True)
        for name in ASSETS:
            shutil.copy(CSRC.parent / "bench" / "assets" / name, out)


def compile_modules(out: Path, jobs: int, encode: bool) -> None:
    """Compile aec.wasm, and aec-encode.wasm if it is asked for.

    Objects are kept in $AEC_WEB_OBJECTS, if it is set, and used again where no source is newer.
    """
    objects = Path(os.environ.get("AEC_WEB_OBJECTS", out / "objects"))
    objects.mkdir(parents=True, exist_ok=True)
    newest = max(path.stat().st_mtime for path in CSRC.rglob("*.h"))
    flags = [*FLAGS, f'-DAEC_VERSION="{version()}"', '-DAEC_MODEL_FOLDER=""']

    def compiled(source: Path) -> Path:
        made = objects / f"{source.parent.name}-{source.stem}.o"
        if not made.exists() or made.stat().st_mtime < max(newest, source.stat().st_mtime):
            level = "-O2" if str(source.relative_to(CSRC)).startswith(FAST) else "-Oz"
            subprocess.run(["em++", level, *flags, "-c", str(source), "-o", str(made)], check=True)
        return made

    with ThreadPoolExecutor(jobs) as pool:
        made = list(pool.map(compiled, sources()))
    decode = [path for path in made if path.name != "web-exports_encode.o"]
    for name, parts in (("aec.wasm", decode), ("aec-encode.wasm", made)):
        if name == "aec.wasm" or encode:
            module = str(out / name)
            # Linked for speed, because linked for size a model loads half as fast. Then what is left is made smaller.
            subprocess.run(["em++", "-O3", *FLAGS, *LINK, *map(str, parts), "-o", module], check=True)
            subprocess.run(["wasm-opt", "-Oz", *FEATURES, module, "-o", module], check=True)
    if "AEC_WEB_OBJECTS" not in os.environ:
        shutil.rmtree(objects)


def write_models(out: Path, names: list[str], encode: bool) -> None:
    from codec.coding import model_file, model_search, packed_model

    out.mkdir(exist_ok=True)
    for path in map(model_search.find, names) if names else model_search.available():
        file = model_file.load(path)
        (out / f"{file.id.hex()}.aecm").write_bytes(packed_model.pack(file))
        if encode:
            (out / f"{path.stem}-encoder.aecm").write_bytes(packed_model.pack(file, encoder=True))


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="the folder to make")
    parser.add_argument("--model", action="append", default=[], help="name or path of a model; by default all of aec's")
    parser.add_argument("--no-models", action="store_true", help="write no models")
    parser.add_argument("--page", action="store_true", help="add the page to try it, which also encodes")
    parser.add_argument("-j", "--jobs", type=int, default=2, help="how many files are compiled at a time")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    copy_scripts(options.out, options.page)
    compile_modules(options.out, options.jobs, options.page)
    if not options.no_models:
        write_models(options.out / "models", options.model, options.page)


if __name__ == "__main__":
    main(sys.argv[1:])
