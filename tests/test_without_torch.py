"""Where torch is not installed all that needs none works, and what needs it says so and how to get it."""

import json
import subprocess
import sys

import bench_package
import numpy as np
import photos
import pytest
from PIL import Image

import codec
from codec.coding import model_search

HEAD = """
import importlib, io, json, sys
from pathlib import Path
sys.modules["torch"] = None  # which makes `import torch` fail as where there is none
sys.modules["scipy"] = sys.modules["datasets"] = None
import numpy as np
from PIL import Image
import codec
from codec import cli, metrics

def aec(*arguments):
    try:
        return cli.main([str(a) for a in arguments])
    except SystemExit as e:
        return e.code or 0
"""


def run(script: str, *arguments) -> subprocess.CompletedProcess:
    """A process without torch, in which `folder` is the first argument. It must end well."""
    command = [sys.executable, "-c", f"{HEAD}folder = Path(sys.argv[1])\n{script}", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("without")
    for name, seed in (("photo", 0), ("other", 1)):
        Image.fromarray(photos.photo(40, 56, seed=seed)).save(folder / f"{name}.png")
    (folder / "photo.aec").write_bytes(codec.encode(photos.photo(40, 56), 60))
    return folder


def test_the_commands_work(folder, tmp_path):
    """All that make, read and show files, one and several at a time."""
    done = run(
        "out, photo, other = Path(sys.argv[2]), folder / 'photo.png', folder / 'other.png'\n"
        "assert aec('--version') == 0\n"
        "for i, options in enumerate(('', '--model psnr', '--target-size 900', '--lossless', '--device cpu')):\n"
        "    assert aec('compress', photo, *options.split(), '-o', out / f'{i}.aec') == 0, options\n"
        "assert aec('compress', photo, other, '-j', 2, '-o', out / 'two') == 0\n"
        "files = sorted(out.rglob('*.aec'))\n"
        "assert aec('decompress', *files, '-j', 2, '-o', out / 'back') == 0\n"
        "assert aec('decompress', files[0], '-o', out / 'back.npy') == 0\n"
        "assert aec('info', *files) == aec('verify', *files) == aec('verify', '--deep', *files) == 0\n"
        "assert aec('view', files[0], '-o', out / 'page.html') == 0\n",
        folder,
        tmp_path,
    )
    assert done.stdout.startswith("aec ")
    assert all(" files: " in line for line in done.stderr.splitlines())  # of totals, and nothing else
    assert len(list(tmp_path.rglob("*.aec"))) == 7 == len(list((tmp_path / "back").iterdir()))


def test_the_bytes_and_pixels_are_those_with_torch(folder, tmp_path):
    run(
        "picture = np.asarray(Image.open(folder / 'other.png'))\n"
        "for effort in (2, 3):\n"
        "    (Path(sys.argv[2]) / f'{effort}.aec').write_bytes(codec.encode(picture, 50, effort=effort))\n"
        "np.save(Path(sys.argv[2]) / 'back.npy', codec.decode((folder / 'photo.aec').read_bytes(), output='numpy'))",
        folder,
        tmp_path,
    )
    for effort in (2, 3):
        expected = codec.encode(photos.photo(40, 56, seed=1), 50, effort=effort)
        assert (tmp_path / f"{effort}.aec").read_bytes() == expected, effort
    expected = codec.decode((folder / "photo.aec").read_bytes(), output="numpy")
    assert np.array_equal(np.load(tmp_path / "back.npy"), expected)


def test_the_plugins_work(folder):
    pytest.importorskip("imageio.v3", reason="imageio is not installed")
    run(
        "import imageio.v3 as iio, codec.imageio_plugin\n"
        "array, file = np.asarray(Image.open(folder / 'photo.png')), io.BytesIO()\n"
        "Image.fromarray(array).save(file, 'AEC', quality=60)\n"
        "assert file.getvalue() == (folder / 'photo.aec').read_bytes() == codec.encode(array, 60)\n"
        "assert np.array_equal(np.asarray(Image.open(file)), iio.imread(folder / 'photo.aec'))",
        folder,
    )


def test_the_doctor_checks_csrc_and_says_what_is_not_there(folder):
    lines = run("assert aec('doctor') == 0", folder).stdout.splitlines()
    rows = {line[8:38].strip(): (line[:8].strip(), line[39:]) for line in lines}
    isas = set(codec._C.isas())
    assert {name for name in rows if ", " in name} == {
        f"{what}, {isa}" for what in ("integers", "analysis") for isa in isas
    }
    assert rows["torch"][0] == rows["CUDA"][0] == "-" and "not installed" in rows["torch"][1]
    # Of the published models an installation has the two that come with the package; a clone has more.
    here = {f"model {path.stem}" for path in model_search.available()}
    absent = {f"model {name}" for name, _ in model_search.PACKAGES} - here
    assert {"model eye", "model psnr"} <= here and here | absent <= rows.keys()
    assert all(rows[name][0] == "-" and "pip install" in rows[name][1] for name in absent)
    assert all(row[0] == "ok" for name, row in rows.items() if name not in {"torch", "CUDA"} | absent)


def test_a_comparison_leaves_ms_ssim_out_and_says_so(folder):
    done = run(
        "comparison = importlib.import_module(sys.argv[2])\n"
        "files = [comparison.read(folder / name, 'auto', None, None) for name in ('photo.png', 'photo.aec')]\n"
        "print(comparison.page(files[0], files[1:]).decode())",
        folder,
        f"{bench_package.bench.__name__}.compare",
    )
    assert "MS-SSIM, -10 log10(1 - m) is left out: torch is not installed" in done.stdout
    assert "PSNR, RGB" in done.stdout


COMMANDS = {
    "aec train": "aec('train', folder, '-o', folder / 'm.safetensors', '--minutes', 0, '--init', 'eye')",
    "device 'cuda'": "aec('compress', folder / 'photo.png', '-o', folder / 'new.aec', '--device', 'cuda')",
    "device 'cuda:1'": "aec('decompress', folder / 'photo.aec', '-o', folder / 'new.png', '--device', 'cuda:1')",
    "device 'cuda' (deep)": "aec('verify', '--deep', folder / 'photo.aec', '--device', 'cuda')",
    "device 'cuda' (view)": "aec('view', folder / 'photo.aec', '-o', folder / 'v.html', '--device', 'cuda')",
}
CALLS = {
    "device 'cuda'": "codec.encode(np.zeros((8, 8), 'u1'), device='cuda')",
    "device 'cuda:0'": "codec.decode((folder / 'photo.aec').read_bytes(), 'cuda:0')",
    'output="torch"': "codec.decode((folder / 'photo.aec').read_bytes(), output='torch')",
    'output="torch" (stored)': "codec.decode(codec.encode(np.zeros((8, 8), 'u1'), lossless=True), output='torch')",
    "AecDataset": "from codec.dataset import AecDataset",
    "codec.plugins.huggingface": "import codec.plugins.huggingface",
    "MS-SSIM": "metrics.ms_ssim(*[np.zeros((180, 180, 3), 'u1')] * 2)",
    "a difference of curves": "metrics.bd_rate([1, 2], [30, 35], [1, 2], [31, 36])",
}


@pytest.fixture(scope="module")
def refusals(folder):
    """What all commands and calls come to, in one process: exit codes and messages, and the errors' classes."""
    script = (
        "import contextlib\n"
        "commands, calls, found = *map(json.loads, sys.argv[2:4]), []\n"
        "for text in commands:\n"
        "    with contextlib.redirect_stderr(io.StringIO()) as said:\n"
        "        code = eval(text)\n"
        "    found.append((code, said.getvalue()))\n"
        "for text in calls:\n"
        "    try:\n"
        "        exec(text)\n"
        "    except Exception as e:\n"
        "        found.append(([kind.__name__ for kind in type(e).__mro__], str(e)))\n"
        "print(json.dumps(found))"
    )
    done = run(script, folder, json.dumps(list(COMMANDS.values())), json.dumps(list(CALLS.values())))
    found = json.loads(done.stdout)
    return found[: len(COMMANDS)], found[len(COMMANDS) :]


def message(what: str, package: str = "torch", extra: str = "train") -> str:
    return (
        f"{what.split(' (')[0]} needs {package}, which is not installed: pip install 'aec-codec[{extra}]' installs it"
    )


@pytest.mark.parametrize("i", range(len(COMMANDS)), ids=list(COMMANDS))
def test_commands_that_need_torch_are_usage_errors_that_say_so(refusals, i):
    code, said = refusals[0][i]
    assert code == 2
    assert said.startswith("aec: ") and said.endswith(f"{message(list(COMMANDS)[i])}\n") and said.count("\n") == 1


@pytest.mark.parametrize("i", range(len(CALLS)), ids=list(CALLS))
def test_calls_that_need_what_is_not_there_say_so(refusals, i):
    kinds, said = refusals[1][i]
    what = list(CALLS)[i]
    assert kinds[0] == "MissingPackageError" and {"BackendError", "AecError", "ImportError"} <= set(kinds)
    others = {"MS-SSIM": ("torch", "bench"), "a difference of curves": ("scipy", "bench")}
    others["codec.plugins.huggingface"] = "datasets", "loaders"
    assert said == message(what, *others.get(what, ()))


def test_a_torch_that_cannot_be_imported_is_told_from_one_that_is_not_there(tmp_path):
    (tmp_path / "torch.py").write_text("raise ImportError('libcudart.so.12: cannot open shared object file')")
    done = run(
        "del sys.modules['torch']\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "assert aec('compress', 'x.png', '--device', 'cuda') == 2",
        tmp_path,
    )
    assert "torch, which is installed, but cannot be imported (libcudart.so.12" in done.stderr
