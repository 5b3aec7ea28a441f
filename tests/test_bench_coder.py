"""bench.coder: the arithmetic of its table, and that it lets no coder pass that does not give its symbols back."""

import csv
import importlib

import numpy as np
import pytest
from photos import photo
from PIL import Image

from codec import _C
from codec.coding import rans
from codec.coding.cdf_tables import gaussian_tables

try:
    import bench  # the tree
except ImportError:
    from codec import bench  # the wheel

coder = importlib.import_module(f"{bench.__name__}.coder")
KEYS = ("lanes", "payload_bytes")
symbols = importlib.import_module(f"{bench.__name__}.symbols")


@pytest.fixture(scope="module")
def model():
    """Every symbol of -1, 0 costs 2 and 1 bits; 1: 4 bits; an escape: 3; two raw bits more from index 2 on."""
    freqs = np.zeros((64, 64), np.uint16)
    freqs[1:, :4] = 4096, 8192, 1024, 3072
    limits, raw_bits = np.ones(64, np.uint8), np.full(64, 2, np.uint8)
    raw_bits[1] = 0
    return symbols.Model.of(freqs, limits, raw_bits)


def data_of(values, indexes, segments=None):
    return symbols.Symbols(np.array(values, np.int16), np.array(indexes, np.uint8), tuple(segments or (len(values),)))


def row(it, payload_bytes=1010, encode_s=0.5, decode_s=0.25):
    return coder.Row.of(it, payload_bytes, encode_s, decode_s)


def contender(**changes):
    about = {"name": "x", "threads": 1, "expected": np.zeros(1), "n_coded": 4_000_000, "information_bits": 8000.0}
    about |= {"encode": lambda: (b"", 0), "decode": lambda _: np.zeros(1), "lanes": 5}
    return coder.Contender(**about | changes)


def test_row_of_a_known_payload():
    found = row(contender())
    assert found.overhead_percent == pytest.approx(1.0) and found.overhead_bytes_per_lane == pytest.approx(2.0)
    assert found.encode_msym_s == pytest.approx(8.0) and found.decode_msym_s == pytest.approx(16.0)
    assert found.encode_mb_s == pytest.approx(1010 / 0.5 / 1e6)
    assert found.decode_mb_s == pytest.approx(1010 / 0.25 / 1e6)


def test_information_counts_letters_raw_bits_and_escapes(model):
    # Index 1: 0, -1, 1 take 1, 2, 4 bits. Index 2: 7 = letter 1, raw 3; -4 = letter -1, raw 0. Index 0: nothing.
    data = data_of([0, -1, 1, 7, -4, 0], [1, 1, 1, 2, 2, 0])
    assert model.information_bits(data) == pytest.approx(1 + 2 + 4 + (4 + 2) + (2 + 2))
    assert model.escapes(data) == 0 and model.raw_bits(data) == 4 and data.n_coded == 5
    # Escapes: 2 with e + 1 = 1, so 5 bits more; 9 with index 2 has e + 1 = 2, so 6 more. -5 too, with e + 1 = 1.
    escaped = data_of([2, 9, -5], [1, 2, 2])
    escape = 14 - np.log2(3072)
    assert model.information_bits(escaped) == pytest.approx(3 * escape + 5 + 6 + 5)
    assert model.escapes(escaped) == 3 and model.raw_bits(escaped) == 0


def test_speed_ratios_are_to_the_rival():
    rows = [row(contender(name="ours")), row(contender(name="theirs"), encode_s=1.0, decode_s=2.0)]
    assert coder.table(rows, "theirs").splitlines()[2].endswith("| 2.0 | 8.0 |")
    assert "encode x" not in coder.table(rows, "absent")


def test_a_coder_that_lies_is_not_timed():
    with pytest.raises(AssertionError, match="liar"):
        coder.compare([contender(name="liar", decode=lambda _: np.ones(1))], 1)


def test_sample_takes_runs_from_all_over():
    data = data_of(np.arange(10_000) % 300, np.arange(10_000) % 3)
    part = symbols.sample(data, data.n_coded // 10)
    assert abs(part.n_coded / data.n_coded - 0.1) < 0.03 and part.segments == (len(part.symbols),)
    assert len(symbols.sample(data, 10**9).symbols) == len(data.symbols)


def test_pictures_without_a_folder_are_named():
    found, source = symbols.pictures(None)
    assert len(found) >= 8 and ("kodak" in source or "synthetic" in source)
    assert all(p.mode == "RGB" for p in found)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("pictures")
    Image.fromarray(photo(192, 256)).save(path / "a.png")
    return path


def test_main_measures_every_instruction_set(folder, tmp_path, capsys):
    before = _C.isa()
    arguments = ["--images", str(folder), "--symbols", "20000", "--runs", "1", "--qualities", "40", "80"]
    made = ["--csv", str(tmp_path / "rows.csv"), "--json", str(tmp_path / "rows.json")]
    assert coder.main([*arguments, *made]) == 0
    assert _C.isa() == before
    with open(tmp_path / "rows.csv", newline="") as file:
        rows = {(r["coder"], int(r["threads"])): r for r in csv.DictReader(file)}
    text = capsys.readouterr().out
    table = importlib.import_module(f"{bench.__name__}.tables").read_table(tmp_path / "rows.json")
    assert table["rows"][0][:4] == [f"aec, {_C.isas()[0]}", 1, *(int(rows[f"aec, {_C.isas()[0]}", 1][k]) for k in KEYS)]
    assert len(table["rows"]) == len(rows) and "--symbols 20000" in table["note"]

    model = symbols.Model.shipped()
    tiles = symbols.of_pictures(*[symbols.pictures(folder)[0], [40, 80], 20_000])
    whole = symbols.joined(tiles)
    payload = rans.encode(whole.symbols, whole.indexes, whole.segments, model.tables)
    bits = model.information_bits(whole)
    for isa in _C.isas():
        found = rows[f"aec, {isa}", 1]
        assert int(found["payload_bytes"]) == len(payload) and int(found["lanes"]) == 1 << payload[0]
        assert int(found["n_coded"]) == whole.n_coded >= 20_000
        assert float(found["overhead_percent"]) == pytest.approx(100 * (8 * len(payload) / bits - 1))
        assert 0 < float(found["overhead_percent"]) < 2
        assert float(found["encode_msym_s"]) > 0 and float(found["decode_msym_s"]) > 0
    assert int(rows[f"aec, {before}", 2]["payload_bytes"]) == len(payload)
    assert {r["commit"] for r in rows.values()} == {coder.source_commit()}
    assert f"{whole.n_coded:,} coded at {bits / whole.n_coded:.3f} bits" in text and "--symbols 20000" in text
    if importlib.util.find_spec("constriction"):
        # Another coder, of Gaussians: a payload as long as theirs, or the data is not the same.
        bits = symbols.Model.of(*gaussian_tables()).information_bits(whole)
        for name in ("constriction, a Gaussian a symbol", "constriction, tables, sorted"):
            assert 8 * int(rows[name, 1]["payload_bytes"]) == pytest.approx(bits, rel=0.01)


def test_a_missing_rival_is_named_and_left_out(folder, capsys, monkeypatch):
    monkeypatch.setattr(coder.importlib.util, "find_spec", lambda name: None)
    assert coder.main(["--images", str(folder), "--symbols", "1000", "--runs", "1", "--qualities", "40"]) == 0
    text = capsys.readouterr().out
    assert "constriction is not installed: left out" in text and "constriction, " not in text


@pytest.mark.kernels
@pytest.mark.parametrize("lanes_log2", [rans.AUTO_LANES, 3])
def test_gpu_rows_code_the_same_payloads(model, lanes_log2):
    on_gpu = importlib.import_module(f"{bench.__name__}.coder_cuda")
    rng = np.random.default_rng(0)
    tiles = []
    for n in (300, 0, 77):
        indexes = rng.integers(0, 3, n).astype(np.uint8)
        tiles.append(data_of((rng.integers(-9, 10, n) * (indexes > 0)), indexes, (n // 3, 0, n - n // 3)))
    batch = on_gpu.Batch.of(model, tiles, 2)
    it = on_gpu.contender("batch", model, batch, lanes_log2, True)
    payloads, size = it.encode()
    one = [rans.encode(t.symbols, t.indexes, t.segments, model.tables, lanes_log2) for t in tiles]
    assert payloads == 2 * one
    assert size == sum(map(len, payloads)) and it.lanes == sum(1 << p[0] for p in payloads)
    (found,) = coder.compare([it], 1)
    assert found.n_coded == 2 * sum(t.n_coded for t in tiles) and found.payload_bytes == size
    assert it.information_bits == pytest.approx(2 * sum(map(model.information_bits, tiles)))
    assert f"| {1e6 * (3 * 754 + size) / 1e9:.1f} |" in on_gpu.floor_table([(found, 754)], 1e9)


@pytest.mark.kernels
def test_gpu_batches_count_skipped_symbols(model, monkeypatch):
    on_gpu = importlib.import_module(f"{bench.__name__}.coder_cuda")
    monkeypatch.setattr(on_gpu, "LANES_LOG2", (3,))
    tile = data_of([0, 1, 0, -1] * 10, [0, 1, 0, 1] * 10, (15, 25))
    rows = on_gpu.measure(model, [tile, tile], 200, 1)
    assert [n for _, n in rows] == [240, 240, 40, 40] and [r.n_coded for r, _ in rows] == [120, 120, 20, 20]


def test_lanes_marks_what_the_encoder_chooses(folder, capsys):
    model = symbols.Model.shipped()
    data = symbols.joined(symbols.of_pictures(symbols.pictures(folder)[0], [60], 1000))
    rows = coder.lane_rows(model, data, 1, sizes=(1000, 5000))
    assert [r.lanes for r, _ in rows] == [1 << k for k in range(11)] * 2
    for part in (rows[:11], rows[11:]):
        (chosen,) = [r for r, marked in part if marked]
        # One for about 2 KB: the encoder goes by the mean cost of each table, not by the payload it has yet to write.
        assert chosen.lanes == 1 or 1024 <= chosen.payload_bytes / chosen.lanes <= 8192
        # Lanes cost bytes, and about as many each.
        assert all(2 < r.overhead_bytes_per_lane < 6 for r, _ in part)
    assert coder.lane_table(rows).count("**") == 4
