"""The self-test finds this machine in order, and one whose arithmetic is off by a unit not."""

import shutil

import numpy as np
import oracle
import pytest
import torch

from codec import _C
from codec.cli import doctor
from codec.coding import engine, model_file, rans, segment_walk
from codec.nets.torch_decoder import ReferenceSynthesis


def rows() -> dict[str, doctor.Check]:
    return {check.name: check for check in doctor.checks()}


def failures() -> set[str]:
    return {check.name for check in doctor.checks() if check.ok is False}


NATIVE = {f"integers, {isa}" for isa in _C.isas()}
GPUS = [f"cuda:{i}" for i in range(torch.cuda.device_count())]


def reference_walk(*shape: int) -> segment_walk.ReferenceWalk:
    return segment_walk.ReferenceWalk(doctor.fixed_net(), *shape)


def reference_synthesis() -> ReferenceSynthesis:
    return ReferenceSynthesis(doctor.fixed_synthesis(), doctor.LEVELS)


def test_this_machine_is_in_order():
    before, found = _C.isa(), rows()
    assert {name: check.detail for name, check in found.items() if check.ok is False} == {}
    assert {name for name in found if name.startswith("integers")} == NATIVE | {f"integers, {gpu}" for gpu in GPUS} | {
        "integers, reference"
    }
    assert found[f"model {model_file.DEFAULT}"].ok
    assert found["CUDA"].ok == (True if GPUS else None)
    assert _C.isa() == before


def test_integers_need_no_model(monkeypatch):
    monkeypatch.setattr(model_file, "MODELS", model_file.MODELS / "nowhere")
    monkeypatch.delenv(model_file.SEARCH_PATH, raising=False)
    assert failures() == set()


def test_what_is_compared_takes_all_values(monkeypatch):
    """What the constant stands for: every table but the skipped one, both signs, raw bits and escapes."""
    seen, encode = [], rans.encode
    monkeypatch.setattr(rans, "encode", lambda *args: seen.append(args) or encode(*args))
    doctor.digest(reference_walk, reference_synthesis(), doctor.fixed_tables())
    ((symbols, indexes, segments, *_),) = seen
    assert len(segments) == 5
    assert np.array_equal(np.unique(indexes), np.arange(64))
    assert symbols.max() > 16000 and symbols.min() < -16000
    assert len(np.unique(symbols)) > 10_000


def test_the_constant_is_what_the_format_says(monkeypatch):
    """By the coder that was written from FORMAT.md, which shares nothing with csrc."""
    arrays, tables = [], rans.Tables
    monkeypatch.setattr(rans, "Tables", lambda *args: arrays.extend(args) or tables(*args))
    fixed = doctor.fixed_tables()

    def by_oracle(symbols, indexes, segments, _, lanes_log2):
        rows = [
            (int(limit), int(raw_bits), [int(f) for f in row[: 2 * limit + 2]])
            for row, limit, raw_bits in zip(*(a.astype(int) for a in arrays), strict=True)
        ]
        return oracle.encode(rows, symbols.tolist(), indexes.tolist(), segments, lanes_log2)

    monkeypatch.setattr(rans, "encode", by_oracle)
    assert doctor.digest(reference_walk, reference_synthesis(), fixed) == doctor.EXPECTED


@pytest.mark.parametrize("isa", _C.isas())
def test_an_instruction_set_that_miscounts_once_is_found(monkeypatch, isa):
    predict = segment_walk.CpuWalk.predict

    def wrong(self, k):
        index = predict(self, k)
        if k == 2 and _C.isa() == isa:
            index[777] ^= 1
        return index

    monkeypatch.setattr(segment_walk.CpuWalk, "predict", wrong)
    assert failures() == {f"integers, {isa}"}


def test_a_reference_that_miscounts_is_found(monkeypatch):
    said = segment_walk.ReferenceWalk.latents
    monkeypatch.setattr(
        segment_walk.ReferenceWalk, "latents", lambda self: said(self).index_fill(0, torch.tensor([5]), 0.25)
    )
    assert failures() == {"integers, reference"}


def test_a_coder_that_errs_is_found(monkeypatch):
    encode = _C.encode

    def wrong(*args):
        payload = bytearray(encode(*args))
        payload[len(payload) // 2] ^= 16
        return bytes(payload)

    monkeypatch.setattr(_C, "encode", wrong)
    found = {name: check for name, check in rows().items() if check.ok is False}
    assert set(found) == NATIVE | {"integers, reference"}
    assert all(check.detail for check in found.values())


@pytest.mark.parametrize("isa", _C.isas())
def test_an_instruction_set_whose_samples_are_off_by_one_is_found(monkeypatch, isa):
    run = engine.Synthesis.run

    def wrong(self, *args):
        run(self, *args)
        if _C.isa() == isa:
            args[-1][-1, -1, 0] ^= 1

    monkeypatch.setattr(engine.Synthesis, "run", wrong)
    assert failures() == {f"integers, {isa}"}


def test_a_damaged_model_is_found(monkeypatch, tmp_path):
    path = tmp_path / "worn.safetensors"
    shutil.copy(model_file.find(None), path)
    data = bytearray(path.read_bytes())
    data[-1000] ^= 1
    path.write_bytes(data)
    monkeypatch.setenv(model_file.SEARCH_PATH, str(tmp_path))
    assert failures() == {"model worn"}


def test_tables_are_those_of_the_format():
    tables = doctor.fixed_tables()  # entropy.Tables checks them
    symbols, indexes = np.array([-16383, 0, 16383], np.int16), np.array([1, 30, 63], np.uint8)
    payload = rans.encode(symbols, indexes, [3], tables)
    assert np.array_equal(rans.Decoder(tables, payload).decode(indexes), symbols)
