"""The `aec` command and collections: exit codes, what is said and where, and nothing half-done left behind."""

import json
import stat
from pathlib import Path

import numpy as np
import photos
import pytest
from PIL import Image
from shell import aec, damage, files, here

import codec
from codec.cli import collections as cli
from codec.container import collection as container

GOLDEN = Path(__file__).parent / "golden"
MODEL = GOLDEN / "tiny-collection.safetensors"


@pytest.fixture
def digits(tmp_path):
    """A folder of pictures of 8x8, one of them in a folder below, and a note."""
    folder = tmp_path / "digits"
    (folder / "below").mkdir(parents=True)
    for i, name in enumerate(("a.png", "b.png", "below/c.png")):
        Image.fromarray(np.full((8, 8), 40 * i, np.uint8)).save(folder / name)
    (folder / "notes.txt").write_text("not a picture")
    return folder


@pytest.fixture
def packed(tmp_path, monkeypatch):
    monkeypatch.setenv("AEC_MODELS", str(GOLDEN))
    path = tmp_path / "packed.aec"
    path.write_bytes((GOLDEN / "collections" / "v1-named.aec").read_bytes())
    return path


def pixels(data) -> np.ndarray:
    return codec.open_collection(data, MODEL)[:]


def test_a_folder_becomes_a_collection_and_a_folder_again(tmp_path, digits):
    out = tmp_path / "digits.aec"
    done = aec("compress", "--model", MODEL, "-r", digits, "-o", out)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", "")
    assert codec.open_collection(out).names == ["a", "b", "below/c"]
    done = aec("decompress", "-v", out, "-o", tmp_path / "back", AEC_MODELS=str(GOLDEN))
    assert (done.returncode, done.stdout) == (0, b"") and "3 of 3 pictures" in done.stderr
    assert files(tmp_path / "back") == {"a.png", "b.png", "below/c.png"}
    made = np.stack([np.asarray(Image.open(tmp_path / "back" / f"{name}.png")) for name in ("a", "b", "below/c")])
    assert np.array_equal(made, pixels(out))


def test_standard_output_takes_the_collection(digits, capfdbinary):
    done = aec("compress", "--model", MODEL, digits, "-o", "-")
    assert done.returncode == 0 and len(codec.open_collection(done.stdout)) == 2
    assert here("compress", "--model", MODEL, digits, "-o", "-", "--json") == 2


def test_arrays_need_no_folder_nor_names(tmp_path, packed):
    np.save(tmp_path / "many.npy", np.zeros((300, 8, 8), np.uint8))
    out = tmp_path / "many.aec"
    assert here("compress", "--model", "tiny-collection", tmp_path / "many.npy", "-o", out, "-q", "30") == 0
    made = codec.open_collection(out)
    assert made.header.quality == 30 and len(made) == 300 and made.names == []
    assert here("decompress", out) == 0
    assert files(tmp_path / "many") == {f"{i:03}.png" for i in range(300)}


def test_all_become_one_array_and_one_a_picture_of_any_kind(tmp_path, packed):
    assert here("decompress", packed, "-o", tmp_path / "all.npy") == 0
    assert np.array_equal(np.load(tmp_path / "all.npy"), pixels(packed))
    assert here("decompress", packed, "--pick", "7", "-o", tmp_path / "seven.png") == 0
    assert np.array_equal(np.asarray(Image.open(tmp_path / "seven.png")), pixels(packed)[7])
    assert here("decompress", packed, "--pick", "7", "-o", tmp_path / "seven.jpg") == 0
    assert here("decompress", packed, "--pick", "7", "-o", tmp_path / "folder") == 0
    assert files(tmp_path / "folder") == {"blobs/007.png"}


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["compress", "--model", MODEL, "digits"], 2, "name it with -o"),
        (["compress", "--model", MODEL, "-o", "x.aec"], 2, "nothing to do"),
        (["compress", "--model", MODEL, "digits", "-o", "x.png"], 2, "ends in .aec"),
        (["compress", "--model", MODEL, "digits", "-o", "out/"], 2, "ends in .aec"),
        (["compress", "--model", MODEL, "digits", "-o", "digits"], 2, "ends in .aec"),
        (["compress", "--model", MODEL, "digits", "-o", "x.aec", "--effort", "3"], 2, "--effort means nothing"),
        (["compress", "--model", MODEL, "digits", "-o", "x.aec", "--lossless"], 2, "--lossless means nothing"),
        (["compress", "--model", MODEL, "digits", "-o", "x.aec", "--device", "cuda"], 2, "--device means nothing"),
        (["compress", "--model", MODEL, "absent", "-o", "x.aec"], 3, "absent"),
        (["compress", "--model", MODEL, "digits/notes.txt", "-o", "x.aec"], 3, "notes.txt"),
        (["compress", "--model", MODEL, "upper", "-o", "x.aec"], 3, "-r looks in the folders below"),
        (["compress", "--model", MODEL, "digits", "-o", "packed.aec"], 7, "-f overwrites it"),
        (["compress", "--model", "absent", "digits", "-o", "x.aec"], 6, "absent"),
        (["decompress", "packed.aec", "-o", "x.png"], 2, "--pick takes one picture"),
        (["decompress", "packed.aec", "-o", "-"], 2, "becomes a folder"),
        (["decompress", "packed.aec", "--crop", "1,1,2,2"], 2, "--crop means nothing for packed.aec"),
        (["decompress", "packed.aec", "--pick", "300", "-o", "x.png"], 3, "pictures 0 to 299"),
        (["decompress", "packed.aec", "--pick", "-1", "-o", "x.png"], 2, "-1: must be a whole number, at least 0"),
        (["decompress", "packed.aec", "--pick", "1", "-o", "x.gif"], 7, "GIF"),
        (["decompress", "packed.aec", "--pick", "1", "-o", "x.strange"], 7, "strange"),
        (["decompress", "packed.aec", "-o", "digits"], 0, ""),
        (["decompress", "packed.aec", "--max-pixels", "19199"], 5, "at most 19199"),
        (["decompress", "packed.aec", "--model", "eye"], 6, "where one for collections"),
        (["decompress", "single.aec", "--pick", "0"], 2, "single.aec is none"),
        (["view", "packed.aec", "-o", "x.html"], 3, "codec.open_collection"),
        (["train", "digits", "--arch", "linear", "-o", "x.safetensors"], 2, "give --minutes or --epochs"),
        (["train", "digits", "--arch", "linear", "-o", "x.safetensors", "--minutes", "0"], 2, "needs --resume"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_left_behind(
    arguments, code, words, tmp_path, digits, packed, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "upper" / "middle").mkdir(parents=True)
    Path("upper/middle/a.png").write_bytes(Path("digits/a.png").read_bytes())
    Path("single.aec").write_bytes(codec.encode(photos.photo(8, 8), lossless=True))
    before = files(tmp_path)
    assert here(*arguments) == code
    out, err = capsys.readouterr()
    assert out == "" and words in err
    if code:
        assert files(tmp_path) == before and "Traceback" not in err


def test_max_pixels_can_be_lifted_and_cpu_may_be_said(packed):
    assert here("decompress", packed, "--max-pixels", "19200", "--device", "cpu") == 0
    assert here("decompress", packed, "--max-pixels", "0", "-f") == 0


def test_a_damaged_payload_leaves_no_folder_behind(tmp_path, packed, capsys):
    layout = container.read(packed.read_bytes())
    payloads = [bytes(p) for p in layout.payloads]
    payloads[1] = payloads[1][:-3] + bytes(3)  # the first block is sound, and its pictures are written
    packed.write_bytes(container.write(layout.header, payloads, layout.names))
    assert here("decompress", packed) == 4
    assert files(tmp_path) == {"packed.aec"} and not (tmp_path / "packed").exists()
    assert here("verify", packed) == 0
    assert here("verify", "--deep", packed) == 4
    packed.write_bytes(damage(packed.read_bytes()))
    assert here("verify", packed) == 4 == here("info", packed)
    assert "checksum" in capsys.readouterr().err


def test_dry_run_writes_nothing_and_skip_existing_keeps(tmp_path, digits, packed, capsys):
    before = files(tmp_path)
    assert here("compress", "--model", MODEL, digits, "-o", tmp_path / "x.aec", "--dry-run") == 0
    assert here("decompress", packed, "--dry-run") == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{digits} -> {tmp_path / 'x.aec'}",
        f"{packed} -> {packed.with_suffix('')}",
    ]
    assert files(tmp_path) == before
    content = packed.read_bytes()
    assert here("compress", "--model", MODEL, digits, "-o", packed, "--skip-existing") == 0
    assert packed.read_bytes() == content
    assert here("decompress", packed) == 0
    mark = tmp_path / "packed" / "blobs" / "007.png"
    mark.write_bytes(b"mine")
    assert here("decompress", packed, "--skip-existing") == 0 and here("decompress", packed) == 7
    assert mark.read_bytes() == b"mine"
    assert here("decompress", packed, "-f") == 0 and mark.read_bytes() != b"mine"


def test_a_folder_of_pictures_and_collections_is_converted_as_a_whole(tmp_path, packed, capsys):
    folder = tmp_path / "mixed"
    folder.mkdir()
    packed.rename(folder / "packed.aec")
    (folder / "single.aec").write_bytes(codec.encode(photos.photo(8, 8), lossless=True))
    assert here("decompress", folder, "-o", tmp_path / "out", "--json", "--quiet") == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {Path(row["out"]).name: row["status"] for row in rows} == {"packed": "done", "single.png": "done"}
    assert len(files(tmp_path / "out" / "packed")) == 300 and (tmp_path / "out" / "single.png").is_file()
    assert here("decompress", folder, "-o", tmp_path / "other", "--crop", "0,0,2,2") == 2
    assert not (tmp_path / "other").exists()
    capsys.readouterr()
    assert here("info", "--json", folder) == 0 == here("verify", "--deep", folder)
    facts = json.loads(capsys.readouterr().out.splitlines()[0])
    assert facts["pictures"] == 300 and facts["model_name"] == "tiny-collection" and facts["named"] is True


def test_pictures_that_do_not_fit_are_told_and_the_others_kept(tmp_path, digits, capsys):
    Image.new("L", (9, 8)).save(digits / "wide.png")
    Image.new("RGB", (8, 8), (255, 0, 0)).save(digits / "red.png")
    assert here("compress", "--model", MODEL, digits, "-o", tmp_path / "x.aec") == 3
    err = capsys.readouterr().err
    assert "left out: wide: 9x8, where the model is for 8x8" in err and "left out: red: in colour" in err
    assert "some pictures were left out; the others: 2 pictures" in err
    assert codec.open_collection(tmp_path / "x.aec").names == ["a", "b"]


def test_no_more_people_can_read_the_outputs_than_the_inputs(tmp_path, digits, packed):
    (digits / "a.png").chmod(0o600)
    assert here("compress", "--model", MODEL, digits / "a.png", digits / "b.png", "-o", tmp_path / "x.aec") == 0
    assert stat.S_IMODE((tmp_path / "x.aec").stat().st_mode) == 0o600
    packed.chmod(0o600)
    assert here("decompress", packed) == 0
    assert stat.S_IMODE((tmp_path / "packed" / "blobs" / "000.png").stat().st_mode) == 0o600


def test_what_a_collection_is_told_by_its_first_bytes(tmp_path, packed):
    assert cli.is_collection(packed) and not cli.is_collection(tmp_path) and not cli.is_collection(None)
    assert not cli.is_collection(tmp_path / "absent") and cli.is_model(str(MODEL)) and not cli.is_model("eye")
