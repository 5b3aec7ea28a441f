"""The self-test finds this machine in order, and one whose arithmetic is off by a unit not."""

import shutil

import numpy as np
import oracle
import pytest
import torch

from codec import _C
from codec.cli import doctor
from codec.coding import engine, model_search, rans, segment_walk, self_test
from codec.nets.torch_self_test import InTorch


def rows() -> dict[str, doctor.Check]:
    return {check.name: check for check in doctor.checks()}


def failures() -> set[str]:
    return {check.name for check in doctor.checks() if check.ok is False}


GPUS = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
NATIVE = {f"integers, {isa}" for isa in _C.isas()}
ALL = {f"{what}, {name}" for what in ("integers", "analysis") for name in ("reference", *_C.isas(), *GPUS)}


@pytest.fixture
def no_models(monkeypatch):
    """For what is not about them: they take their time."""
    monkeypatch.setattr(model_search, "MODELS", model_search.MODELS / "nowhere")
    monkeypatch.setattr(model_search, "NAMESPACE", "no_models")
    monkeypatch.delenv(model_search.SEARCH_PATH, raising=False)


@pytest.fixture
def no_integers(monkeypatch):
    """For what is not about them: they take longer still."""
    monkeypatch.setattr(self_test, "decoder_digest", lambda arithmetic: self_test.DECODER)
    monkeypatch.setattr(self_test, "encoder_digest", lambda arithmetic: self_test.ENCODER)


def reference() -> InTorch:
    return InTorch(torch.device("cpu"))


def test_this_machine_is_in_order():
    before, found = _C.isa(), rows()
    assert {name: check.detail for name, check in found.items() if check.ok is False} == {}
    assert {name for name in found if ", " in name} == ALL
    assert all(found[f"model {name}"].ok for name in ("eye", "psnr"))
    assert found["torch"].ok and found["CUDA"].ok == (True if GPUS else None)
    assert _C.isa() == before


def test_a_model_that_is_a_package_of_its_own_need_not_be_installed(no_models, no_integers):
    assert rows()["model psnr"] == doctor.Check("model psnr", None, "not installed: pip install aec-codec-psnr")


def test_integers_need_no_model(no_models, monkeypatch):
    monkeypatch.setattr(_C, "isas", lambda: [_C.isa()])
    assert failures() == set()


def test_what_is_compared_takes_all_values(monkeypatch):
    """What the constant stands for: every table but the skipped one, both signs, raw bits and escapes."""
    seen, encode = [], rans.encode
    monkeypatch.setattr(rans, "encode", lambda *args: seen.append(args) or encode(*args))
    self_test.decoder_digest(self_test.Native())
    ((symbols, indexes, segments, *_),) = seen
    assert len(segments) == 5
    assert np.array_equal(np.unique(indexes), np.arange(64))
    assert symbols.max() > 16000 and symbols.min() < -16000
    assert len(np.unique(symbols)) > 10_000


def test_the_encoder_s_latents_take_all_values_and_seldom_the_largest(monkeypatch):
    made, digest = [], self_test._sha256
    monkeypatch.setattr(self_test, "_sha256", lambda *parts: made.extend(parts) or digest(*parts))
    self_test.encoder_digest(self_test.Native())
    y, z = (np.frombuffer(part, "<i2") for part in made)
    assert len(np.unique(y)) > 50_000 and len(np.unique(z)) > 3000
    for values in (y, z):
        assert values.min() == -(2**15) and values.max() == 2**15 - 1
        assert np.isin(values, (values.min(), values.max())).mean() < 0.05


def test_the_constant_is_what_the_format_says(monkeypatch):
    """By the coder that was written from FORMAT.md, which shares nothing with csrc."""
    arithmetic, tables = reference(), self_test.fixed_tables().values()

    def by_oracle(symbols, indexes, segments, _, lanes_log2):
        rows = [
            (int(limit), int(raw_bits), [int(f) for f in row[: 2 * limit + 2]])
            for row, limit, raw_bits in zip(*(a.astype(int) for a in tables), strict=True)
        ]
        return oracle.encode(rows, symbols.tolist(), indexes.tolist(), segments, lanes_log2)

    monkeypatch.setattr(rans, "encode", by_oracle)
    assert self_test.decoder_digest(arithmetic) == self_test.DECODER


@pytest.mark.parametrize("isa", _C.isas())
def test_an_instruction_set_that_miscounts_once_is_found(monkeypatch, no_models, isa):
    walk = engine.Engine.walk

    class Wrong:
        def __init__(self, handle):
            self._handle = handle

        def __getattr__(self, name):
            return getattr(self._handle, name)

        def predict(self, k, indexes):
            self._handle.predict(k, indexes)
            if k == 2 and _C.isa() == isa:
                indexes[777] ^= 1

    monkeypatch.setattr(engine.Engine, "walk", lambda self, *size: Wrong(walk(self, *size)))
    assert failures() == {f"integers, {isa}"}


def test_a_reference_that_miscounts_is_found(monkeypatch, no_models):
    said = segment_walk.ReferenceWalk.latents
    monkeypatch.setattr(
        segment_walk.ReferenceWalk, "latents", lambda self: said(self).index_fill(0, torch.tensor([5]), 0.25)
    )
    assert failures() == {"integers, reference"}


def test_a_coder_that_errs_is_found(monkeypatch, no_models):
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
def test_an_instruction_set_whose_samples_or_latents_are_off_by_one_is_found(monkeypatch, no_models, isa):
    run, latents = engine.Synthesis.run, engine.Encoder.latents

    def wrong_samples(self, *args):
        run(self, *args)
        if _C.isa() == isa:
            args[-1][-1, -1, 0] ^= 1

    def wrong_latents(self, *args):
        y = latents(self, *args)
        y[3, 2, 1] ^= _C.isa() == isa
        return y

    monkeypatch.setattr(engine.Synthesis, "run", wrong_samples)
    monkeypatch.setattr(engine.Encoder, "latents", wrong_latents)
    assert failures() == {f"integers, {isa}", f"analysis, {isa}"}


def test_a_damaged_model_is_found(monkeypatch, no_integers, tmp_path):
    path = tmp_path / "worn.safetensors"
    shutil.copy(model_search.find(None), path)
    data = bytearray(path.read_bytes())
    data[-1000] ^= 1
    path.write_bytes(data)
    monkeypatch.setattr(model_search, "MODELS", tmp_path)
    monkeypatch.delenv(model_search.SEARCH_PATH, raising=False)
    assert failures() == {"model worn"}


def test_a_model_whose_pictures_do_not_come_back_is_found(monkeypatch, no_integers):
    monkeypatch.setattr(self_test, "round_trip", lambda file: 19.9)
    found = rows()
    assert {name for name, check in found.items() if check.ok is False} == {
        f"model {p.stem}" for p in model_search.available()
    }
    assert "at least 20 dB" in found["model eye"].detail


def test_a_torch_that_cannot_be_used_is_a_row_and_not_the_end(monkeypatch, no_models, no_integers):
    monkeypatch.delattr(torch, "__version__")
    found = rows()
    assert found["torch"].ok is False and "__version__" in found["torch"].detail
    assert found["CUDA"].ok is None
    assert {name for name in found if name.startswith("integers")} == NATIVE and all(found[name].ok for name in NATIVE)


def test_tables_are_those_of_the_format():
    tables = self_test.fixed_model().tables  # rans.Tables checks them
    symbols, indexes = np.array([-16383, 0, 16383], np.int16), np.array([1, 30, 63], np.uint8)
    payload = rans.encode(symbols, indexes, [3], tables)
    assert np.array_equal(rans.Decoder(tables, payload).decode(indexes), symbols)
