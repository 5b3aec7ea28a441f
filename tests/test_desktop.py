"""What file managers and ImageMagick do with .aec files, by the programs themselves where they are installed."""

import configparser
import io
import os
import re
import resource
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import photos
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms
from shell import AEC, aec, damage, files, here

import codec
from codec.cli import desktop
from codec.desktop import install, thumbnail
from codec.picture import colour

MAGICK = next(filter(None, map(shutil.which, ("magick", "convert-im6.q16"))), None)
WIDE = colour.of_cicp((12, 13, 0, 1), gray=False)  # Display P3


def program(name: str, package: str) -> str:
    if (found := shutil.which(name)) is None:
        pytest.skip(f"{name} is not installed (Debian: {package})")
    return found


@pytest.fixture
def command(tmp_path):
    """The path of a program `aec` that runs the package under test; it is odd, as the home of a person may be."""
    path = tmp_path / "a home" / "bin $x" / "aec"
    path.parent.mkdir(parents=True)
    path.write_text(f'#!/bin/sh\nexec {shlex.join(AEC)} "$@"\n')
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def share(tmp_path, command):
    install.install(tmp_path / "share", command)
    return tmp_path / "share"


def entry(path: Path, group: str) -> dict:
    parser = configparser.RawConfigParser()
    parser.optionxform = str
    parser.read(path)
    return dict(parser[group])


def words(exec_line: str) -> list[str]:
    """The arguments of an Exec key: backslashes as in every string of such a file, then quotes as of a shell."""
    line = exec_line.replace("\\\\", "\\")
    line = re.sub(r"\\(.)", lambda m: m[1] if m[1] in "$`" else m[0], line)  # which shlex does not do in quotes
    return [word.replace("%%", "%") for word in shlex.split(line)]


# ------------------------------------------------------------------ thumbnails


def call(share: Path, picture: Path, output: Path, size: int) -> subprocess.CompletedProcess:
    """As a file manager calls a thumbnailer."""
    given = {"%s": str(size), "%i": str(picture), "%o": str(output), "%u": picture.as_uri()}
    line = words(entry(share / "thumbnailers/aec.thumbnailer", "Thumbnailer Entry")["Exec"])
    return subprocess.run([given.get(word, word) for word in line], capture_output=True, text=True)


def test_a_file_manager_gets_its_thumbnail_into_the_file_that_it_has_opened(share, tmp_path):
    picture, output = tmp_path / "fünf & 6%.aec", tmp_path / "out"
    picture.write_bytes(codec.encode(photos.photo(96, 300)))
    with open(output, "w+b") as opened:
        done = call(share, picture, output, 128)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        image = Image.open(io.BytesIO(opened.read()))
    image.load()
    assert (image.format, image.mode, image.size) == ("PNG", "RGB", (128, 41))
    expected = codec.decode(picture.read_bytes(), fit=(128, 128))
    assert image.tobytes() == expected.tobytes()
    status = picture.stat()
    assert image.text == {
        "Thumb::URI": f"file://{tmp_path}/f%C3%BCnf%20&%206%25.aec",
        "Thumb::MTime": str(int(status.st_mtime)),
        "Thumb::Size": str(status.st_size),
        "Thumb::Mimetype": "image/x-aec",
        "Thumb::Image::Width": "300",
        "Thumb::Image::Height": "96",
        "Software": "aec",
    }


def test_a_new_thumbnail_is_private_and_of_256_pixels_at_most(packed, tmp_path, capsysbinary):
    big = tmp_path / "big.aec"
    big.write_bytes(codec.encode(photos.photo(16, 520), lossless=True))
    assert here("thumbnail", big, tmp_path / "t.png") == 0
    assert Image.open(tmp_path / "t.png").size == (256, 8)
    assert (tmp_path / "t.png").stat().st_mode & 0o777 == 0o600
    assert here("thumbnail", packed.as_uri(), "-") == 0  # smaller than that, and by its URI
    assert Image.open(io.BytesIO(capsysbinary.readouterr().out)).size == (56, 40)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "I;16"])
def test_thumbnails_are_rgb_of_8_bits_with_the_alpha_of_the_picture(mode, tmp_path):
    gray = photos.photo(24, 32)[..., 0]
    if mode == "I;16":
        image = Image.fromarray(gray.astype(np.uint16) * 257)
    else:
        image = Image.fromarray(gray).convert(mode)
    if mode.endswith("A"):
        image.putalpha(Image.fromarray(255 - gray))
    (tmp_path / "x.aec").write_bytes(codec.encode(image, lossless=True))
    made = Image.open(io.BytesIO(thumbnail.thumbnail_of(tmp_path / "x.aec", 64)))
    assert made.mode == ("RGBA" if mode.endswith("A") else "RGB")
    assert np.array_equal(np.asarray(made)[..., :3], np.repeat(gray[..., None], 3, 2))
    assert not mode.endswith("A") or np.array_equal(np.asarray(made)[..., 3], 255 - gray)


def test_wide_colours_become_srgb_and_hdr_stays_as_it_is(tmp_path):
    image = Image.fromarray(photos.photo(24, 32))
    path = tmp_path / "x.aec"
    image.info["icc_profile"] = WIDE
    path.write_bytes(codec.encode(image, lossless=True))
    made = Image.open(io.BytesIO(thumbnail.thumbnail_of(path, 64)))
    expected = ImageCms.profileToProfile(
        image, ImageCms.ImageCmsProfile(io.BytesIO(WIDE)), ImageCms.createProfile("sRGB")
    )
    assert made.tobytes() == expected.tobytes() != image.tobytes() and "icc_profile" not in made.info
    image.info = {"cicp": (9, 16, 0, 1)}  # by its profile, where 1 is 10,000 cd/m2, all of it would be black
    path.write_bytes(codec.encode(image, lossless=True))
    made = Image.open(io.BytesIO(thumbnail.thumbnail_of(path, 64)))
    assert made.tobytes() == image.tobytes() and "icc_profile" not in made.info


def test_what_cannot_be_shown_is_told_and_leaves_the_output_as_it_was(packed, tmp_path, capsys):
    bad = tmp_path / "bad.aec"
    whole = packed.read_bytes()
    cases = (
        (whole[:-5], 4, "exceed"),
        (damage(whole), 4, "checksum"),
        (b"GIF89a", 3, "not an .aec file"),
        (b"", 3, "not an .aec file"),
        (b"\xd7AES" + bytes(20), 3, "collection"),
    )
    (tmp_path / "there.png").write_bytes(b"as it was")
    for data, code, said in cases:
        bad.write_bytes(data)
        for name in ("new.png", "there.png"):
            assert here("thumbnail", bad, tmp_path / name) == code
            told = capsys.readouterr().err
            assert told.startswith(f"aec: {bad}: ") and said in told and len(told.splitlines()) == 1
    for name, said in (("absent.aec", "No such file"), ("sftp://host/x.aec", "files of this machine")):
        assert here("thumbnail", name, tmp_path / "new.png") == 3
        assert said in capsys.readouterr().err
    assert not (tmp_path / "new.png").exists() and (tmp_path / "there.png").read_bytes() == b"as it was"
    assert here("thumbnail", packed, tmp_path) == 7  # a folder


def test_a_full_disk_leaves_no_half_thumbnail(packed, tmp_path):
    output = tmp_path / "t.png"
    output.touch()

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))

    done = subprocess.run([*AEC, "thumbnail", packed, output], capture_output=True, text=True, preexec_fn=limited)
    assert done.returncode == 7 and f"cannot write {output}" in done.stderr
    assert output.read_bytes() == b""


@pytest.mark.parametrize("size", ["0", "-3", "x", "1.5"])
def test_sizes_that_are_none_are_refused(size, packed, tmp_path, capsys):
    assert here("thumbnail", packed, tmp_path / "t.png", "-s", size) == 2
    assert "-s/--size" in capsys.readouterr().err and not (tmp_path / "t.png").exists()


def test_uris_are_written_as_glib_writes_them(tmp_path):
    gio = program("gio", "libglib2.0-bin")
    name = "".join(map(chr, range(1, 128))).replace("/", "").replace("\n", "") + "äπ"
    (tmp_path / name).touch()
    told = subprocess.run([gio, "info", tmp_path / name], capture_output=True, check=True).stdout
    uri = next(line[5:] for line in told.split(b"\n") if line.startswith(b"uri: ")).decode()
    assert thumbnail.uri_of(tmp_path / name) == uri
    assert thumbnail.path_of(uri) == tmp_path / name


# ------------------------------------------------------------------ what is installed


def test_the_kind_of_file_is_known_by_name_and_by_content(share, packed):
    gio, update = program("gio", "libglib2.0-bin"), program("update-mime-database", "shared-mime-info")
    done = subprocess.run([update, share / "mime"], capture_output=True, text=True)
    assert done.returncode == 0 and "aec.xml" not in done.stderr
    nameless, damaged = packed.with_name("nameless"), packed.with_name("damaged.aec")
    nameless.write_bytes(packed.read_bytes())
    damaged.write_bytes(b"no longer what it was")
    for path in (packed, nameless, damaged):
        told = subprocess.run(
            [gio, "info", "-a", "standard::content-type", path],
            capture_output=True,
            text=True,
            env=os.environ | {"XDG_DATA_HOME": str(share), "XDG_DATA_DIRS": "/nowhere"},
        )
        assert "standard::content-type: image/x-aec" in told.stdout, path


def test_the_viewer_opens_what_it_says(share, command):
    path = share / "applications/aec-view.desktop"
    found = entry(path, "Desktop Entry")
    assert words(found["Exec"]) == [command, "view", "%f"] and found["TryExec"] == command
    done = subprocess.run([program("desktop-file-validate", "desktop-file-utils"), path], capture_output=True)
    assert (done.returncode, done.stdout) == (0, b"")


@given(st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_characters="/\x7f"), min_size=1))
def test_every_path_of_the_command_survives_the_rules_of_the_exec_key(name):
    assert words(install._quoted(f"/home/{name}")) == [f"/home/{name}"]


@pytest.mark.parametrize("action", ["install", "delegates"])
@pytest.mark.parametrize(
    "character", ["\n", "\r", "\x7f", "\udcff", '"', "$", "`", "\\", "%", ">", "|", ";", "&", "'", " ", "ä"]
)
def test_a_path_that_cannot_be_written_is_refused(action, character, tmp_path, monkeypatch, capsys):
    program = tmp_path / f"a{character}b" / "aec"
    program.parent.mkdir()
    program.touch(0o755)
    monkeypatch.setattr(desktop.sys, "executable", str(program.with_name("python")))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "user"))
    refused = character in "\n\r\x7f\udcff" or action == "delegates" and character in '"$`\\%>|;&'
    assert here("desktop", action) == (2 if refused else 0)
    out = capsys.readouterr()
    if refused:
        assert f"has a {character!r}" in out.err and out.out == "" and not (tmp_path / "user").exists()
    elif action == "delegates":
        assert [f'"{program}" ' in line.attrib["command"] for line in ElementTree.fromstring(out.out)] == [True, True]


def test_delegates_have_no_place(tmp_path, capsys):
    assert here("desktop", "delegates", "--prefix", tmp_path) == 2
    assert "--prefix means nothing for delegates" in capsys.readouterr().err


def test_the_command_installs_and_removes_and_says_what(tmp_path, capsys):
    (tmp_path / "share/applications").mkdir(parents=True)
    (tmp_path / "share/applications/other.desktop").write_text("[Desktop Entry]\nType=Application\nName=x\nExec=x\n")
    for _ in range(2):  # again, over the first one
        done = aec("desktop", "install", "--prefix", tmp_path)
        places = {str(tmp_path / "share" / place) for place in install.PLACES.values()}
        assert done.returncode == 0 and set(done.stdout.decode().splitlines()) == places <= {
            str(tmp_path / name) for name in files(tmp_path)
        }
    done = aec("desktop", "uninstall", "--prefix", tmp_path)
    assert done.returncode == 0 and set(done.stdout.decode().splitlines()) == places
    left = {name for name in files(tmp_path) if "aec" in Path(name).name or "other" in name}
    assert left == {"share/applications/other.desktop"}
    assert here("desktop", "uninstall", "--prefix", tmp_path) == 0
    assert "nothing that aec desktop has installed" in capsys.readouterr().err


def test_files_of_others_at_the_same_places_stay_as_they_are(tmp_path, capsys):
    theirs = tmp_path / "share" / install.PLACES["aec.xml"]
    theirs.parent.mkdir(parents=True)
    shutil.copy(install.FILES / "aec.xml", theirs)  # as CMake and distributions install it
    for action in ("install", "uninstall"):
        assert here("desktop", action, "--prefix", tmp_path) == 0
        out = capsys.readouterr()
        assert f"{theirs} is not of aec desktop" in out.err and "aec.xml" not in out.out
        assert len(out.out.splitlines()) == len(install.PLACES) - 1
        assert theirs.read_bytes() == (install.FILES / "aec.xml").read_bytes()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others")
def test_a_program_that_others_cannot_run_or_can_replace_is_told():
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # the folders of pytest are private
        program = Path(folder, "bin/aec")
        program.parent.mkdir()
        program.touch()
        for path in (program.parents[1], program.parent, program):
            path.chmod(0o755)
        assert install.danger(program) is None
        link = program.with_name("link")
        link.symlink_to(program)
        program.chmod(0o700)
        assert install.danger(program) == f"{program} is not open to them"
        assert install.danger(link) == f"{link} is not open to them"
        program.chmod(0o755)
        program.parent.chmod(0o777)
        assert f"{program.parent} can be written by others" in install.danger(program)
        program.parent.chmod(0o1777)  # as /tmp: only the owner of a file can replace it
        assert install.danger(program) is None
        os.chown(program.parent, 4321, 0)
        assert f"{program.parent} belongs to 4321, who can" in install.danger(link)


def test_installing_for_all_users_warns_and_installing_for_one_does_not(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "user"))
    monkeypatch.setattr(desktop, "danger", lambda path: "/home/me belongs to me")
    assert here("desktop", "install", "--prefix", tmp_path / "all") == 0
    warned = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert len(warned) == 1 and "is not for all users: /home/me belongs to me; " in warned[0]
    assert here("desktop", "install") == 0
    assert "warning" not in capsys.readouterr().err


def test_what_is_installed_for_all_users_is_open_to_all_and_for_one_it_is_as_the_umask_says(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "user"))
    before = os.umask(0o077)
    try:
        assert here("desktop", "install", "--prefix", tmp_path / "all") == here("desktop", "install") == 0
    finally:
        assert os.umask(before) == 0o077
    for folder, modes in (("all", {0o644, 0o755}), ("user", {0o600, 0o700})):
        made = [tmp_path / folder, *(tmp_path / folder).rglob("*")]
        assert len(made) > len(install.PLACES) and {path.stat().st_mode & 0o777 for path in made} == modes


def test_the_place_of_a_user_is_where_the_desktop_looks(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert install.data_home() == tmp_path
    monkeypatch.setenv("XDG_DATA_HOME", "relative")  # which the specification says to ignore
    monkeypatch.setenv("HOME", str(tmp_path))
    assert install.data_home() == tmp_path / ".local/share"


# ------------------------------------------------------------------ ImageMagick


@pytest.fixture
def magick(tmp_path, command):
    """magick(arguments): ImageMagick, which knows of aec."""
    if MAGICK is None:
        pytest.skip("ImageMagick is not installed (Debian: imagemagick)")
    text = install.delegates(command.replace(" $x", ""))
    ElementTree.fromstring(text)
    (tmp_path / "a home/bin").symlink_to("bin $x")  # ImageMagick has no way to escape a $
    (tmp_path / "magick").mkdir()
    (tmp_path / "magick/delegates.xml").write_text(text)

    def run(*arguments) -> subprocess.CompletedProcess:
        environment = os.environ | {"MAGICK_CONFIGURE_PATH": str(tmp_path / "magick")}
        return subprocess.run([MAGICK, *map(str, arguments)], capture_output=True, text=True, env=environment)

    return run


def test_imagemagick_reads_what_aec_decodes(magick, tmp_path):
    image = Image.fromarray(photos.photo(40, 56))
    image.putalpha(100)
    source = tmp_path / "with a space.aec"
    source.write_bytes(codec.encode(image, 60))
    done = magick(source, tmp_path / "out.png")
    assert (done.returncode, done.stderr) == (0, "")
    made = Image.open(tmp_path / "out.png").convert("RGBA")
    assert made.tobytes() == codec.decode(source.read_bytes()).tobytes()


def test_imagemagick_writes_with_the_quality_that_it_is_told(magick, tmp_path):
    Image.fromarray(photos.photo(64, 96)).save(tmp_path / "in.png")
    done = magick(tmp_path / "in.png", "-quality", 30, tmp_path / "it's.aec")
    assert (done.returncode, done.stderr) == (0, "")
    assert codec.open(tmp_path / "it's.aec").header.quality == 30


def test_imagemagick_fails_where_aec_fails(magick, packed, tmp_path):
    Image.fromarray(photos.photo(24, 32)).save(tmp_path / "in.png")
    before = packed.read_bytes()
    done = magick(tmp_path / "in.png", "-quality", 150, packed)
    assert done.returncode == 1 and "1..100" in done.stderr and packed.read_bytes() == before
    done = magick(tmp_path / "in.png", "-quality", 150, tmp_path / "new.aec")
    assert done.returncode == 1 and not (tmp_path / "new.aec").exists()
    packed.write_bytes(damage(before))
    done = magick(packed, tmp_path / "out.png")
    assert done.returncode == 1 and "checksum" in done.stderr and not (tmp_path / "out.png").exists()
