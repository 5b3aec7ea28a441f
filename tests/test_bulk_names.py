"""Names of shards and of what is made of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codec.bulk import names


@given(st.integers(0, 300), st.integers(0, 40), st.integers(1, 6), st.sampled_from(["", "a/", "s3://b/"]))
def test_a_range_stands_for_all_its_numbers_in_as_many_digits(first, more, digits, folder):
    found = names.expand(f"{folder}in-{{{first:0{digits}}..{first + more:0{digits}}}}.tar")
    assert found == [f"{folder}in-{n:0{digits}}.tar" for n in range(first, first + more + 1)]


def test_words_products_and_joined_patterns():
    assert names.expand("{a,b}-{0..1}.tar") == ["a-0.tar", "a-1.tar", "b-0.tar", "b-1.tar"]
    assert names.expand("x.tar::y-{1..2}.tar") == ["x.tar", "y-1.tar", "y-2.tar"]
    assert names.expand("plain.tar") == ["plain.tar"] and names.expand("{odd}.tar") == ["{odd}.tar"]


def test_stars_stand_for_files_and_a_name_that_is_there_for_itself(tmp_path):
    for name in ("b.tar", "a.tar", "{0..9}.tar", "c.txt"):
        (tmp_path / name).touch()
    assert names.expand(f"{tmp_path}/[ab].tar") == [f"{tmp_path}/a.tar", f"{tmp_path}/b.tar"]
    assert names.expand(f"{tmp_path}/{{0..9}}.tar") == [f"{tmp_path}/{{0..9}}.tar"]
    assert names.expand(f"file://{tmp_path}/a.tar") == [f"file://{tmp_path}/a.tar"]


@pytest.mark.parametrize("pattern", ["{9..0}.tar", "{0..9999999}.tar", "{0..9999}{0..9999}.tar", "", "a.tar::"])
def test_patterns_that_make_no_sense_are_refused(pattern):
    with pytest.raises(ValueError):
        names.expand(pattern)


@given(st.lists(st.text("abc", min_size=1), min_size=1, unique=True))
def test_each_shard_has_a_place_of_its_own(sources):
    sources = [f"in/{source}.tar" for source in sources]
    by_number = [s.target for s in names.plan(sources, "out/{:05d}.tar")]
    assert by_number == [f"out/{i:05d}.tar" for i in range(len(sources))]
    assert [s.target for s in names.plan(sources, "out/{name}.tar")] == [s.replace("in", "out") for s in sources]
    folders = names.plan(sources, "out/")
    assert [s.target for s in folders] == [s.replace("in", "out").removesuffix(".tar") for s in sources]
    assert not any(s.is_tar for s in folders)


@pytest.mark.parametrize(
    "sources, to, words",
    [
        (["a.tar", "b.tar"], "out.tar", "both become out.tar"),
        (["x/a.tar", "y/a.tar"], "out/", "both become out/a"),
        (["a.tar"], "a.tar", "onto itself"),
        (["w-1.tar", "w-0.tar"], "w-{}.tar", "w-1.tar would be overwritten by w-1.tar, which w-0.tar becomes"),
        (["in-0.tar", "in-new-0.tar"], "in-new-{}.tar", "what an earlier run has made"),
        (["a/b/c.tar", "x/b.tar"], "a/{name}", "overwritten by a/b,"),
        (["s3://b/w-1.tar", "s3://b/w-0.tar"], "s3://b/w-{}.tar", "would be overwritten"),
        (["a.tar"], "{:05d", "allowed in braces"),
        (["a.tar"], "{other}.tar", "allowed in braces"),
        (["a.tar"], "{name:d}.tar", "allowed in braces"),
        (["a.tar"], "", "empty"),
    ],
)
def test_places_that_make_no_sense_are_refused(sources, to, words):
    with pytest.raises(ValueError, match=words):
        names.plan(sources, to)


def test_keys_are_those_of_webdataset():
    for name in ("a/b.c/d.seg.png", "x.jpg", "none", "a.b/none", ".hidden"):
        assert names.key_of(name) == {"a/b.c/d.seg.png": "a/b.c/d", "x.jpg": "x"}.get(
            name, name.removesuffix(".hidden")
        )
