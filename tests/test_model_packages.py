"""Models that are packages of their own: how they are found, and what is said where one is missing."""

import importlib
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import photos
import pytest

import codec
from codec import cli
from codec.coding import model_file, model_search

ROOT = Path(__file__).resolve().parents[1]
RELEASE = ROOT / ".ci" / "release.py"
EXTRA = ROOT / "codec" / "models" / model_search.EXTRA
TINY = ROOT / "tests" / "golden" / "tiny2.safetensors"
PSNR = bytes.fromhex("f53a405e")


@pytest.fixture
def only_eye(tmp_path, monkeypatch):
    """As `pip install aec-codec` leaves it."""
    models = tmp_path / "only-eye"
    models.mkdir()
    (models / "eye.safetensors").symlink_to(model_search.find("eye"))
    monkeypatch.setattr(model_search, "MODELS", models)
    monkeypatch.setattr(model_search, "NAMESPACE", "no_models")  # tests of an installation have the packages too
    monkeypatch.delenv(model_search.SEARCH_PATH, raising=False)


def test_a_model_beside_the_installed_packages_is_found_by_name_and_by_id(tmp_path, monkeypatch):
    image = photos.photo(20, 30)
    data = codec.encode(image, model=TINY)
    (tmp_path / "aec_models").mkdir()
    shutil.copy(TINY, tmp_path / "aec_models" / "small.safetensors")
    with pytest.raises(codec.ModelError, match="not at hand"):
        codec.decode(data)
    monkeypatch.syspath_prepend(tmp_path)
    assert codec.decode(data).size == (30, 20)
    assert codec.encode(image, model="small") == data
    assert model_search.name_of(codec.inspect(data).model_id) == "small"


def test_a_file_that_claims_the_id_of_another_model_does_not_hide_that_one(tmp_path, monkeypatch):
    data = codec.encode(photos.photo(20, 30), model=TINY)
    damaged = bytearray(TINY.read_bytes())
    damaged[-1] ^= 1  # the header, with the id, stays
    (tmp_path / "a.safetensors").write_bytes(damaged)
    monkeypatch.setenv(model_search.SEARCH_PATH, str(tmp_path))
    with pytest.raises(codec.ModelError, match="sha256"):
        codec.decode(data)
    shutil.copy(TINY, tmp_path / "b.safetensors")
    assert codec.decode(data).size == (30, 20)


def test_a_model_file_that_vanishes_while_it_is_looked_for_is_none(tmp_path, monkeypatch):
    there = [tmp_path / "gone.safetensors"]
    monkeypatch.setattr(model_search, "_files", lambda: iter(there))
    with pytest.raises(codec.ModelError, match="not at hand"):
        model_search.find_id(PSNR)
    monkeypatch.setattr(model_search, "_id_of", lambda path, modified: PSNR)
    there[0].touch()

    def load(path):
        path.unlink()
        return path.read_bytes()

    with pytest.raises(codec.ModelError, match="not at hand"):
        model_search.load_for(load, PSNR, None)


def test_packages_are_not_looked_for_where_the_default_model_serves(monkeypatch):
    def looked(name):
        raise AssertionError(f"{name} was looked for")

    monkeypatch.setattr(model_search, "find_spec", looked)
    assert codec.decode(codec.encode(photos.photo(8, 8))).size == (8, 8)


def test_the_error_for_a_missing_model_names_its_package(only_eye):
    in_a_clone = "a clone of aec has it in codec/models/extra: name that folder in $AEC_MODELS"
    with pytest.raises(codec.ModelError) as by_name:
        codec.encode(photos.photo(8, 8), model="psnr")
    assert str(by_name.value) == (
        "no model 'psnr': available are eye, and files ending in .safetensors; "
        f"psnr is installed by: pip install aec-codec-psnr; {in_a_clone}"
    )
    with pytest.raises(codec.ModelError) as by_id:
        model_search.find_id(PSNR)
    assert str(by_id.value) == (
        "the file needs model f53a405e, which is not at hand: it is installed by: pip install aec-codec-psnr; "
        + in_a_clone
    )
    with pytest.raises(codec.ModelError) as of_nobody:
        model_search.find("nosuch")
    assert "pip" not in str(of_nobody.value)


def test_info_names_the_package_of_a_missing_model(only_eye, tmp_path, monkeypatch, capsys):
    with monkeypatch.context() as all_there:
        all_there.setenv(model_search.SEARCH_PATH, str(EXTRA))
        (tmp_path / "a.aec").write_bytes(codec.encode(photos.photo(8, 8), model="psnr"))
    assert cli.main(["info", str(tmp_path / "a.aec")]) == 0
    assert "not at hand (f53a405e): pip install aec-codec-psnr\n" in capsys.readouterr().out


def test_the_table_of_packages_has_the_ids_of_the_models():
    for (name, model_id), package in model_search.PACKAGES.items():
        assert model_file.load(EXTRA / f"{name}.safetensors").id.hex() == model_id, package


def test_a_model_of_a_clone_is_found_where_it_is_and_its_package_is_named_where_not(only_eye, tmp_path, monkeypatch):
    data = codec.encode(photos.photo(20, 30), model=TINY)
    tiny = model_file.load(TINY).id
    monkeypatch.setattr(model_search, "PACKAGES", {("tiny-1", tiny.hex()): "aec-codec-tiny-1"})
    with pytest.raises(codec.ModelError, match="at hand: it is installed by: pip install aec-codec-tiny-1"):
        codec.decode(data)
    extra = model_search.MODELS / model_search.EXTRA
    extra.mkdir()
    shutil.copy(TINY, extra / "tiny-1.safetensors")
    assert codec.decode(data).size == (30, 20) and model_search.find("tiny-1") == extra / "tiny-1.safetensors"


@pytest.fixture
def release(monkeypatch):
    if not RELEASE.exists():
        pytest.skip("not in a clone")
    monkeypatch.syspath_prepend(RELEASE.parent)
    return importlib.import_module("release")


def test_a_release_names_what_it_lacks(release):
    names = ["aec_codec-1.0.0.tar.gz", "aec_codec-1.0.0-cp311-cp311-manylinux2014_x86_64.whl"]
    for package in (name.replace("-", "_") for name in model_search.PACKAGES.values()):
        names += [f"{package}-1.tar.gz", f"{package}-1-py3-none-any.whl"]
    files = [release.File(Path(name)) for name in names]
    assert release.missing(files, ["cp311"], ["x86_64"]) == []
    lacks = ["wheel for cp310 and x86_64", "wheel for cp310 and aarch64", "wheel for cp311 and aarch64"]
    assert release.missing(files, ["cp310", "cp311"], release.MACHINES) == lacks
    assert release.missing(files[1:], ["cp311"], ["x86_64"]) == ["source of aec-codec"]
    of_models = [f"{kind} of {name}" for name in model_search.PACKAGES.values() for kind in ("source", "wheel")]
    assert release.missing(files[:2], ["cp311"], ["x86_64"]) == of_models


def test_wheels_that_do_not_agree_are_faults_of_all_of_them(release, monkeypatch, tmp_path):
    files = [release.File(Path(f"aec_codec-1-cp31{i}-cp31{i}-manylinux2014_x86_64.whl")) for i in range(3)]
    monkeypatch.setattr(release, "check", lambda f, tools: None)
    found = iter(["aa", "bb", "aa"])
    monkeypatch.setattr(release, "try_one", lambda *given: release.release_try.Tried("tried", next(found)))
    release.try_all(files, {}, tmp_path, tmp_path)
    assert [f.faults for f in files] == [
        [f"files and pixels {digest}, which are not those of all the others"] for digest in ("aa", "bb", "aa")
    ]


def test_the_sources_of_a_release_have_each_model_of_the_table_in_a_package(release, tmp_path):
    try:
        main, packages = release.sources(tmp_path)
    except subprocess.CalledProcessError:
        pytest.skip("not in a clone")
    assert [path.name for path in packages] == list(model_search.PACKAGES.values())
    assert [path.name for path in main.glob("codec/models/*.safetensors")] == ["eye.safetensors"]
    for (name, _), package in zip(model_search.PACKAGES, packages, strict=True):
        assert (package / "aec_models" / f"{name}.safetensors").is_file()


def test_an_installed_package_of_a_model_is_found(release, tmp_path, monkeypatch):
    assert release.model_packages() == model_search.PACKAGES
    release.model_source(tmp_path / "source", TINY, "00000000", "aec-codec-tiny2")
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*install, "--target", tmp_path / "site", tmp_path / "source"], check=True)
    installed = tmp_path / "site" / "aec_models" / "tiny2.safetensors"
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert model_search.find("tiny2") == installed and installed.read_bytes() == TINY.read_bytes()


@pytest.mark.skipif(sys.platform != "linux", reason="builds for other machines are made on Linux")
def test_a_compiler_for_another_machine_names_the_wheel_for_that_machine(tmp_path, monkeypatch):
    pytest.importorskip("setuptools", reason="setuptools is not installed")
    there = "x86_64" if platform.machine() == "aarch64" else "aarch64"
    compiler = tmp_path / "c++"
    compiler.write_text(f"#!/bin/sh\necho {there}-linux-gnu\n")
    compiler.chmod(0o755)
    script = (
        "import runpy, setuptools, sysconfig\n"
        "setuptools.setup = lambda **given: None\n"
        "runpy.run_path('setup.py')\n"
        "from setuptools.command.build_ext import build_ext\n"
        "name = build_ext(setuptools.Distribution()).get_ext_filename('codec._C')\n"
        "print(sysconfig.get_platform(), name)"
    )
    env = os.environ | {"CXX": str(compiler)}
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    version = "".join(platform.python_version_tuple()[:2])
    assert done.stdout == f"linux-{there} codec/_C.cpython-{version}-{there}-linux-gnu.so\n"
