"""`aec similar`, and the comparison of many pictures by their features."""

import json
import os
import random

import bench_package
import numpy as np
import photos
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from shell import damage, here

import codec
from codec import similarity
from codec.cli import parser
from codec.similarity import near_duplicates, nearest_neighbours

# ------------------------------------------------------------------ the comparison


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def by_hand(features: np.ndarray, threshold: float) -> list[set[int]]:
    """The groups, by looking at all pairs one after the other."""
    groups = [{i} for i in range(len(features))]
    for i in range(len(features)):
        for j in range(i):
            if features[i] @ features[j] >= threshold:
                a, b = (next(g for g in groups if n in g) for n in (i, j))
                if a is not b:
                    a |= b
                    groups.remove(b)
    return sorted((g for g in groups if len(g) > 1), key=min)


@settings(max_examples=40)
@given(st.integers(0, 60), st.integers(2, 4), st.sampled_from([0.5, 0.9, 0.99]), st.integers(1, 9), st.integers(0, 99))
def test_groups_are_those_of_all_pairs_whatever_the_blocks_are(n, dimensions, threshold, block, seed):
    features = unit(np.random.default_rng(seed).normal(size=(n, dimensions)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(similarity, "_ROWS", block)
        patch.setattr(similarity, "_COLUMNS", 2 * block)
        groups = near_duplicates(features, threshold)
    assert [{m.index for m in group} for group in groups] == by_hand(features, threshold)
    products = features @ features.T
    np.fill_diagonal(products, -2)
    for member in (m for group in groups for m in group):
        assert member.similarity == pytest.approx(min(1, products[member.index].max()), abs=1e-6)
        assert products[member.index, member.nearest] == pytest.approx(products[member.index].max(), abs=1e-6)


def test_equal_pictures_are_near_at_any_threshold():
    features = np.repeat(unit(np.random.default_rng(0).normal(size=(1, 309))), 5000, 0)
    (group,) = near_duplicates(features, 1.0)
    assert len(group) == 5000 and all(m.nearest != m.index for m in group)
    assert all(m.similarity == pytest.approx(1, abs=1e-6) and m.similarity <= 1 for m in group)


def test_nothing_and_one_picture_have_no_groups():
    assert near_duplicates(np.zeros((0, 3), np.float32)) == []
    assert near_duplicates(np.eye(3, dtype=np.float32)[:1]) == []


def test_neighbours_come_in_the_order_of_their_similarity():
    features = unit(np.random.default_rng(0).normal(size=(50, 8)))
    found = nearest_neighbours(features, features[7], 5)
    assert found[0] == (7, pytest.approx(1, abs=1e-6)) and len(found) == 5
    assert [s for _, s in found] == sorted((features @ features[7]).tolist(), reverse=True)[:5]
    assert len(nearest_neighbours(features, features[7], 99)) == 50


# ------------------------------------------------------------------ the command


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Copies of two pictures, of several kinds and sizes, and a third picture."""
    folder = tmp_path_factory.mktemp("album")
    (folder / "below").mkdir()
    a, b, c = (Image.fromarray(photos.photo(96, 128, seed)) for seed in (0, 1, 2))
    (folder / "a.aec").write_bytes(codec.encode(a))
    (folder / "a-low.aec").write_bytes(codec.encode(a.resize((64, 48)), 30))
    a.convert("L").save(folder / "a-gray.png")
    (folder / "b.aec").write_bytes(codec.encode(b, model="psnr"))
    (folder / "below" / "b-stored.aec").write_bytes(codec.encode(b, lossless=True))
    (folder / "c.aec").write_bytes(codec.encode(c))
    (folder / "notes.txt").write_text("not a picture")
    return folder


@pytest.fixture
def folder(prepared, tmp_path, monkeypatch):
    """The same, to be changed, where the command is run."""
    for path in prepared.rglob("*.*"):
        target = tmp_path / path.relative_to(prepared)
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(path.read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def groups(text: str) -> list[list[str]]:
    return [[row["file"] for row in json.loads(line)["files"]] for line in text.splitlines() if "group" in line]


def test_groups_are_told_in_words(folder, capsys):
    assert here("similar", ".") == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0] == "3 pictures are nearly the same:" and len(lines) == 4
    assert [line.split()[0] for line in lines[1:]] == ["a-gray.png", "a-low.aec", "a.aec"]
    assert lines[1].startswith("  a-gray.png  (0.9") and lines[1].endswith(" to a.aec)")
    assert "aec: 5 pictures: 3 of them in 1 group of near-duplicates, with a similarity of at least 0.9\n" in err
    assert "left out of the folders: 1 folder" in err


def test_with_r_folders_below_count_and_models_and_stored_pictures_mix(folder, capsys):
    assert here("similar", "-r", ".", "--json", "--quiet") == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert groups(out) == [["a-gray.png", "a-low.aec", "a.aec"], ["b.aec", "below/b-stored.aec"]]
    second = json.loads(out.splitlines()[1])
    assert second["group"] == 2 and second["files"][0]["nearest"] == "below/b-stored.aec"
    assert 0.9 < second["files"][0]["similarity"] <= 1


def test_the_order_of_files_and_how_many_are_read_at_a_time_do_not_matter(folder, capsys):
    names = [str(p.relative_to(folder)) for p in folder.rglob("*.aec")] + ["a-gray.png"]
    outputs = set()
    for seed in range(3):
        random.Random(seed).shuffle(names)
        assert here("similar", *names, "-j", 1 + seed, "--quiet") == 0
        outputs.add(capsys.readouterr().out)
    assert len(outputs) == 1


def test_a_file_that_is_named_twice_is_one_picture(folder, capsys):
    os.symlink("c.aec", "link.aec")
    assert here("similar", "c.aec", "./c.aec", "link.aec", folder / "c.aec") == 0
    out, err = capsys.readouterr()
    assert out == "" and "1 picture: no near-duplicates" in err


def test_the_threshold_says_what_is_near(folder, capsys):
    assert here("similar", ".", "--threshold", 1, "--json") == 0
    assert capsys.readouterr().out == ""
    assert here("similar", ".", "--threshold", -1, "--json") == 0
    assert len(groups(capsys.readouterr().out)[0]) == 5


def test_a_query_shows_the_nearest_pictures(folder, capsys):
    assert here("similar", "-r", ".", "--query", "a-gray.png", "-k", 3) == 0
    out, err = capsys.readouterr()
    rows = [line.split("  ") for line in out.splitlines()]
    assert [name for _, name in rows[:2]] in (["a.aec", "a-low.aec"], ["a-low.aec", "a.aec"])
    assert len(rows) == 3 and float(rows[1][0]) > 0.9 > float(rows[2][0])
    assert here("similar", "-r", ".", "--query", "a-gray.png", "--threshold", 0.9, "--json") == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["file"] for row in found] == [name for _, name in rows[:2]]


def test_the_query_may_be_elsewhere(folder, tmp_path_factory, capsys):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "x.png"
    Image.fromarray(photos.photo(96, 128, 1)).save(elsewhere)
    assert here("similar", "b.aec", "c.aec", "--query", elsewhere) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and lines[0].endswith("  b.aec") and lines[1].endswith("  c.aec")


@pytest.mark.parametrize("as_json", [False, True])
def test_a_damaged_file_costs_one_row(folder, capsys, as_json):
    (folder / "bad.aec").write_bytes(damage((folder / "c.aec").read_bytes()))
    (folder / "no.png").write_text("no picture")
    assert here("similar", ".", "--quiet", *(["--json"] if as_json else [])) == 1
    out, err = capsys.readouterr()
    assert sorted(line.split(": ")[1] for line in err.splitlines()) == ["bad.aec", "no.png"]
    if as_json:
        first, second, *rest = map(json.loads, out.splitlines())
        assert (first["file"], second["file"], len(rest)) == ("bad.aec", "no.png", 1) and first["error"]
    else:
        assert out.startswith("3 pictures are nearly the same:")


def test_a_query_that_cannot_be_read_gives_no_rows(folder, capsys):
    assert here("similar", ".", "--query", "absent.aec") == 1
    out, err = capsys.readouterr()
    assert out == "" and err.count("absent.aec") == 1 and "No such file" in err


def test_names_cannot_move_the_cursor(folder, capsys):
    (folder / "a\x1b[2J.aec").write_bytes((folder / "a.aec").read_bytes())
    assert here("similar", ".") == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out and "a\\x1b[2J.aec" in out


@pytest.mark.parametrize(
    "arguments, why",
    [
        (["x.aec", "-k", "3"], "--query"),
        (["x.aec", "--query", "y.aec", "-k", "0"], "at least 1"),
        (["x.aec", "--threshold", "1.5"], "at most 1"),
        (["x.aec", "--threshold", "nan"], "at least -1"),
        (["-", "--query", "-"], "standard input"),
        ([], "IN"),
    ],
)
def test_wrong_arguments_are_usage_errors(arguments, why, capsys):
    assert here("similar", *arguments) == 2
    assert why in capsys.readouterr().err


def test_a_single_file_that_is_damaged_gives_its_own_exit_code(folder):
    (folder / "bad.aec").write_bytes(damage((folder / "c.aec").read_bytes()))
    assert here("similar", "bad.aec") == 4
    assert here("similar", "absent.aec") == 3


def test_help_names_the_default_threshold(capsys):
    with pytest.raises(SystemExit):
        parser.make_parser().parse_args(["similar", "--help"])
    assert f"default: {similarity.NEAR:g})" in capsys.readouterr().out.replace("\n", " ").replace("  ", "")


# ------------------------------------------------------------------ the bench


def test_the_bench_finds_copies_and_prints_a_table(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # the bench sets it, and here it is set back
    for seed in range(2):
        Image.fromarray(photos.photo(64, 96, seed)).save(tmp_path / f"{seed}.png")
    assert bench_package.module("similar").main([str(tmp_path), "--runs", "0"]) == 0
    out = capsys.readouterr().out
    assert "| size 1/2 | 100% | 100% | 100% | 100% | 100% | 100% |" in out
    assert "2 pictures with copies, and 0 others" in out and "features: the nearest wrong pair" in out


def test_the_hashes_of_the_bench_are_what_they_say():
    bench = bench_package.module("similar")
    rising = Image.fromarray(np.tile(np.arange(0, 252, 4, dtype=np.uint8), (40, 1)))
    assert not bench.dhash(rising).any() and bench.dhash(rising.transpose(Image.Transpose.FLIP_LEFT_RIGHT)).all()
    a = bench.phash(Image.fromarray(photos.photo(40, 60)))
    assert a.shape == (64,) and 28 <= a.sum() <= 33
    assert bench.agreement(a[None], np.stack([a, ~a])).tolist() == [[64, 0]]
