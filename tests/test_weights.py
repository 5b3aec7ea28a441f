"""Model files: found by name or id, verified, and refused when they are not what they must be."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import photos
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import codec
from codec.coding import engine, model_file, model_search, model_tensors
from codec.coding.cdf_tables import cost_bits
from codec.coding.model_config import CONFIGS, Config
from codec.errors import ModelError
from codec.nets import torch_codec
from codec.nets.integer import IntegerEntropyNet
from codec.nets.model import Model
from codec.train import export

CPU = torch.device("cpu")
CONFIG = dict(latents=8, hyper=4, wide8=8, blocks8=1, wide16=8, blocks16=1, context=8, steps=2)


def test_unknown_models_are_named(tmp_path):
    with pytest.raises(codec.ModelError, match="nosuch"):
        codec.encode(photos.photo(8, 8), model="nosuch")
    with pytest.raises(codec.ModelError, match="absent.safetensors"):
        codec.encode(photos.photo(8, 8), model=tmp_path / "absent.safetensors")


def test_a_file_of_a_model_that_is_not_at_hand_names_it(tiny_model):
    path, model_id = tiny_model
    data = codec.encode(photos.photo(8, 8), model=path)
    with pytest.raises(codec.ModelError, match=model_id.hex()):
        codec.decode(data)


def test_a_link_to_a_model_that_is_gone_is_no_model(tmp_path, monkeypatch):
    (tmp_path / "gone.safetensors").symlink_to(tmp_path / "absent.safetensors")
    monkeypatch.setenv("AEC_MODELS", str(tmp_path))
    with pytest.raises(codec.ModelError, match="not at hand"):
        model_search.find_id(b"\0\0\0\0")


def test_the_wrong_model_is_refused_naming_both(shipped, tiny_model):
    path, model_id = tiny_model
    with pytest.raises(codec.ModelError, match=f"{shipped.id.hex()}.*{model_id.hex()}"):
        codec.decode(codec.encode(photos.photo(8, 8)), model=path)


def test_a_model_named_by_path_or_found_by_id_decodes_its_files(tiny_model, monkeypatch):
    path, model_id = tiny_model
    image = photos.photo(50, 70)
    data = codec.encode(image, model=path)
    assert codec.inspect(data).model_id == model_id
    by_path = codec.decode(data, model=path, output="numpy")
    monkeypatch.setenv(model_search.SEARCH_PATH, str(path.parent))
    assert np.array_equal(codec.decode(data, output="numpy"), by_path)
    assert codec.encode(image, model="tiny") == data


def test_files_that_are_no_models_beside_a_model_do_not_hide_it(tiny_model, tmp_path, monkeypatch):
    path, _ = tiny_model
    data = codec.encode(photos.photo(8, 8), model=path)
    save_file(
        {"x": torch.zeros(1)}, tmp_path / "a.checkpoint.safetensors", {"aec_checkpoint": "{}"}
    )  # as `aec train` leaves
    save_file({"x": torch.zeros(1)}, tmp_path / "b.safetensors", {"aec_model": "{}"})
    (tmp_path / "c.safetensors").write_bytes(b"not safetensors at all")
    (tmp_path / "tiny.safetensors").write_bytes(path.read_bytes())
    monkeypatch.setenv(model_search.SEARCH_PATH, str(tmp_path))
    assert codec.decode(data).size == (8, 8)


@pytest.mark.parametrize("where", [0.3, 0.6, 0.99])
def test_a_damaged_model_is_refused(tiny_model, tmp_path, where):
    data = bytearray(tiny_model[0].read_bytes())
    data[int(len(data) * where)] ^= 1
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(data)
    with pytest.raises(codec.ModelError, match="bad.safetensors"):
        codec.encode(photos.photo(8, 8), model=bad)


def test_files_that_are_not_safetensors_are_refused_as_models(tmp_path):
    for name, content in (("empty", b""), ("text", b"hello"), ("zip", b"PK\x03\x04" + bytes(200))):
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(content)
        with pytest.raises(codec.ModelError, match=name):
            codec.encode(photos.photo(8, 8), model=path)
    pickled = tmp_path / "pickle.safetensors"
    torch.save({"weights": torch.zeros(2)}, pickled)
    with pytest.raises(codec.ModelError):
        codec.encode(photos.photo(8, 8), model=pickled)


def test_saving_a_model_twice_gives_the_same_id_and_another_model_another(tiny_model, tmp_path):
    torch.manual_seed(0)
    model = Model(Config(**CONFIG))
    assert export.save(tmp_path / "again.safetensors", model) == tiny_model[1]
    with torch.no_grad():
        model.synthesis.shortcut.bias[0] += 1
    assert export.save(tmp_path / "other.safetensors", model) != tiny_model[1]


def test_the_encoders_half_may_change_and_old_files_stay_readable(tiny_model, tmp_path):
    tensors, metadata = parts(tiny_model[0])
    tensors["analysis.shortcut.bias"][0] += 1
    assert model_file.write(tmp_path / "encoder.safetensors", tensors, metadata) == tiny_model[1]


def parts(path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """A file's tensors, which may be changed, and its metadata but for the hashes."""
    with safe_open(path, "np") as f:
        metadata = {k: v for k, v in f.metadata().items() if not k.endswith("sha256")}
        return {k: f.get_tensor(k) for k in f.keys()}, metadata


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("entropy.step", 0, "entropy.step has 0: 1 to 32767 are allowed"),
        ("entropy.hyper_index", 64, "entropy.hyper_index has 64: 0 to 63 are allowed"),
        ("entropy.net.head.shift", 21, "entropy.net.head has a shift above 20"),
        ("synthesis.head16.weight", 32767, "synthesis.head16 could overflow"),
        ("synthesis.shortcut.shift", 1, "synthesis.shortcut has shifts that are not one from 2 to 20"),
        ("synthesis.gain.shift", 0, "synthesis.gain.shift is 0: 1 to 30"),
        ("synthesis.head16.fraction", 21, "synthesis.head16.fraction is 21: -7 to 20"),
        ("synthesis.shortcut.fraction", 9, "synthesis.shortcut.fraction is 9: 10 is allowed"),
        ("hyper_analysis.tail.fraction", 21, "hyper_analysis.tail.fraction is 21: -7 to 20"),
        ("entropy.net.head.weight", 32767, "entropy.net.head could overflow its accumulator"),
        ("tables.freqs", 1, "row 1"),
    ],
)
def test_a_model_whose_numbers_break_the_specification_is_refused_though_its_hashes_are_right(
    tiny_model, tmp_path, name, value, words
):
    tensors, metadata = parts(tiny_model[0])
    tensors[name].fill(value)
    if name.endswith("weight"):
        tensors[name.replace("weight", "bias")].fill(2**31 - 1)
    path = tmp_path / "odd.safetensors"
    model_file.write(path, tensors, metadata)
    with pytest.raises(codec.ModelError, match=f"not a model this aec can run.*({words})"):
        model_file.load(path)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("analysis.head8.shift", 21, "analysis.head8 has a shift above 20"),
        ("analysis.body16.0.space.weight", 32767, "analysis.body16.0.space could overflow its accumulator"),
        ("analysis.shortcut.bias", 2**31 - 1, "analysis.shortcut could overflow its accumulator"),
        ("analysis.gain.shift", 0, "analysis.gain.shift has 0: 1 to 30 are allowed"),
        ("hyper_analysis.body2.space.bias", -(2**31), "hyper_analysis.body2.space could overflow its accumulator"),
    ],
)
def test_a_model_whose_encoder_breaks_a_rule_does_not_encode_but_decodes(tiny_model, tmp_path, name, value, words):
    """Its hashes are right, and what it decodes hangs on none of these numbers."""
    tensors, metadata = parts(tiny_model[0])
    tensors[name].fill(value)
    path = tmp_path / "odd.safetensors"
    assert model_file.write(path, tensors, metadata) == tiny_model[1]
    image = photos.photo(20, 30)
    for effort in (1, 3):
        with pytest.raises(codec.ModelError, match=f"odd.safetensors: not a model this aec can run: {words}"):
            codec.encode(image, model=path, effort=effort)
    data = codec.encode(image, model=tiny_model[0])
    expected = codec.decode(data, model=tiny_model[0], output="numpy")
    assert np.array_equal(codec.decode(data, model=path, output="numpy"), expected)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"steps": 3}, "steps is 3: 2 or 4 are allowed"),
        ({"latents": 9}, "latents is 9: a multiple of steps, 2, is allowed"),
        ({"latents": 8.0}, "latents is no size: .* an integer is expected"),
        ({"context": True}, "context is no size: .* an integer is expected"),
        ({"context": 16}, r"is int32 \[16\]: int32 \[32\] is allowed"),
        ({"surprise": 1}, "surprise"),
        ({"blocks8": 0}, "synthesis.body8.0.mix_in.bias is no tensor"),
        ({"blocks16": 1 << 20}, "blocks16 is 1048576: at most 16384"),
        ({"wide8": 1 << 20}, "wide8 is 1048576: at most 16384"),
    ],
)
def test_a_model_with_another_configuration_is_refused(tiny_model, tmp_path, changes, words):
    tensors, metadata = parts(tiny_model[0])
    path = tmp_path / "odd.safetensors"
    model_file.write(path, tensors, metadata | {"aec_model": json.dumps(CONFIG | changes)})
    with pytest.raises(codec.ModelError, match=f"not a model this aec can run.*{words}"):
        model_file.load(path)


@pytest.mark.parametrize("text", ["", "7", "[1, 2]", '{"latents": {}}', "[" * 100_000])
def test_a_model_whose_configuration_is_no_table_of_numbers_is_refused(tiny_model, tmp_path, text):
    tensors, metadata = parts(tiny_model[0])
    path = tmp_path / "odd.safetensors"
    model_file.write(path, tensors, metadata | {"aec_model": text})
    with pytest.raises(codec.ModelError, match="not a model this aec can run"):
        model_file.load(path)


def test_the_largest_configuration_is_refused_for_what_is_missing_and_takes_no_memory(tmp_path):
    path = tmp_path / "odd.safetensors"
    large = CONFIG | dict.fromkeys(("latents", "hyper", "context"), 1 << 14)  # 34 GB, if they were made
    model_file.write(path, {}, {"aec_model": json.dumps(large)})
    with pytest.raises(codec.ModelError, match="entropy.hyper_index is missing"):
        model_file.load(path)


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("synthesis.shortcut.bias", lambda t: t.astype(np.complex64), "synthesis.shortcut.bias holds C64: allowed"),
        ("synthesis.shortcut.bias", lambda t: t.astype(np.float32), r"is float32 \[768\]: int32 \[768\]"),
        ("synthesis.whiten", lambda t: np.ones(8, np.float16), "of version 1 of the format, and must be exported anew"),
        (
            "analysis.log_gain.knots",
            lambda t: np.ones((8, 8), np.float16),
            "its analysis is floating point: it must be",
        ),
        ("analysis.gain.shift", lambda t: t[:1], r"analysis.gain.shift is uint8 \[1\]: uint8 \[8\] is allowed"),
        ("hyper_analysis.down2.bias", lambda t: t.astype(np.float32), r"is float32 \[8\]: int32 \[8\] is allowed"),
        ("entropy.step", lambda t: np.array(1, np.int16), r"entropy.step is int16 \[\]: int16 \[100, 8\]"),
        ("entropy.net.head.shift", lambda t: t.astype(np.int16), r"is int16 \[8\]: uint8 \[8\]"),
        ("tables.freqs", lambda t: t[:, :63], r"tables.freqs is uint16 \[64, 63\]"),
        ("tables.freqs", None, "tables.freqs is missing"),
        ("synthesis.head16.bias", None, "synthesis.head16.bias is missing"),
        ("analysis.head32.bias", lambda t: np.zeros(8, np.float16), "analysis.head32.bias is no tensor"),
    ],
)
def test_a_model_with_a_tensor_too_few_or_too_many_or_another_one_is_refused(tiny_model, tmp_path, name, change, words):
    tensors, metadata = parts(tiny_model[0])
    tensor = tensors.pop(name, None)
    if change:
        tensors[name] = change(tensor).copy()
    path = tmp_path / "odd.safetensors"
    model_file.write(path, tensors, metadata)
    with pytest.raises(codec.ModelError, match=f"odd.safetensors: not a model this aec can run: .*{words}"):
        _ = model_file.load(path).tensors


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("analysis.gain.shift", lambda t: t[:1], r"analysis.gain.shift is uint8 \[1\]: uint8 \[8\] is allowed"),
        ("hyper_analysis.down2.bias", lambda t: t.astype(np.float32), "hyper_analysis.down2.bias is float32"),
        ("hyper_analysis.tail.weight", lambda t: None, "hyper_analysis.tail.weight is missing"),
    ],
)
def test_a_model_whose_encoder_has_other_tensors_decodes_and_does_not_encode(tiny_model, tmp_path, name, change, words):
    tensors, metadata = parts(tiny_model[0])
    changed = change(tensors.pop(name))
    path = tmp_path / "odd.safetensors"
    model_file.write(path, tensors if changed is None else tensors | {name: changed.copy()}, metadata)
    assert codec.decode(codec.encode(photos.photo(20, 30), model=tiny_model[0]), model=path).size == (30, 20)
    with pytest.raises(codec.ModelError, match=f"odd.safetensors: not a model this aec can run: {words}"):
        codec.encode(photos.photo(20, 30), model=path)


def test_a_model_file_that_was_replaced_since_its_decoder_was_loaded_does_not_encode(tiny_model, tmp_path):
    path = tmp_path / "m.safetensors"
    shutil.copy(tiny_model[0], path)
    file = model_file.load(path)
    tensors, metadata = parts(path)
    tensors["synthesis.shortcut.bias"][0] += 2
    model_file.write(path, tensors, metadata)
    with pytest.raises(codec.ModelError, match="m.safetensors: .*holds another model than before"):
        engine.Encoder(file)
    with pytest.raises(codec.ModelError, match="m.safetensors: .*holds another model than before"):
        _ = file.tensors


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float8_e4m3fn, torch.bool, torch.float64])
def test_numbers_that_numpy_has_not_or_no_model_holds_are_refused_by_name(tiny_model, tmp_path, dtype):
    path = tmp_path / "odd.safetensors"
    with safe_open(tiny_model[0], "pt") as f:
        tensors, metadata = {k: f.get_tensor(k) for k in f.keys()}, f.metadata()
    save_file(tensors | {"synthesis.tail8.bias": torch.zeros(192).to(dtype)}, path, metadata)
    with pytest.raises(codec.ModelError, match="synthesis.tail8.bias holds (BF16|F8_E4M3|BOOL|F64): allowed are I8"):
        model_file.load(path)


@pytest.mark.parametrize(
    "config",
    [
        Config(**CONFIG),
        Config(latents=16, hyper=6, wide8=24, blocks8=0, wide16=40, blocks16=3, context=12, steps=4),
        *CONFIGS.values(),
    ],
)
def test_the_table_of_tensors_is_what_the_networks_have(config):
    nets = torch_codec.TWINS | {"entropy": IntegerEntropyNet}
    expected = {"levels": ("float32", (100,))}
    expected |= {"tables.freqs": ("uint16", (64, 64)), "tables.limits": ("uint8", (64,))}
    expected["tables.raw_bits"] = ("uint8", (64,))
    with torch.device("meta"):
        for net, make in nets.items():
            for name, tensor in make(config).state_dict().items():
                dtype = str(tensor.dtype).removeprefix("torch.")
                reads_latents = name in ("net.head.weight", "head16.weight") and "analysis" not in net
                reads_latents |= "shortcut" in name or "from_latents" in name
                if tensor.shape[2:] == (1, 1) and not reads_latents:
                    dtype = "int8"
                expected[f"{net}.{name}"] = dtype, tuple(tensor.shape)
    assert {name: (form.dtypes[0], form.shape) for name, form in model_tensors.forms(config).items()} == expected
    others = {name for name, form in model_tensors.forms(config).items() if form.dtypes == ("int8", "int16")}
    narrow = {name for name, (dtype, shape) in expected.items() if dtype == "int8" and len(shape) == 4}
    assert others == {name for name in narrow if "analysis" not in name}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda levels: np.where(np.arange(100) == 57, np.nan, levels), r"levels\[57\] is nan"),
        (lambda levels: np.where(np.arange(100) == 57, np.inf, levels), r"levels\[57\] is above a million"),
        (lambda levels: levels[::-1], r"levels\[1\] is .*: levels must rise"),
        (lambda levels: levels + 100, r"levels\[20\] is 121"),
        (lambda levels: levels - 1, r"levels\[0\] is 0"),
        (lambda levels: levels[:99], r"levels is float32 \[99\]: float32 \[100\] is allowed"),
    ],
)
def test_levels_that_no_exporter_writes_are_refused(tiny_model, tmp_path, change, words):
    tensors, metadata = parts(tiny_model[0])
    tensors["levels"] = np.ascontiguousarray(change(np.arange(1.0, 101.0)), dtype=np.float32)
    path = tmp_path / "m.safetensors"
    model_file.write(path, tensors, metadata)
    with pytest.raises(codec.ModelError, match=words):
        model_file.load(path)


def test_a_tune_that_is_none_is_refused_and_an_absent_one_is_mse(tiny_model, tmp_path):
    tensors, metadata = parts(tiny_model[0])
    path = tmp_path / "m.safetensors"
    model_file.write(path, tensors, metadata | {"tune": "taste"})
    with pytest.raises(codec.ModelError, match="tune 'taste': allowed are mse, ms-ssim, eye"):
        model_file.load(path)
    del metadata["tune"]
    path = tmp_path / "n.safetensors"
    model_file.write(path, tensors, metadata)
    assert model_file.load(path).tune == "mse"


def test_dead_zones_are_a_share_of_what_a_zero_saves():
    file = model_file.load(model_search.find("eye"))
    tables = [file.tensors[f"tables.{name}"] for name in model_file.TABLES]
    zero, one = (cost_bits(*tables, np.full(64, symbol), np.arange(64)) for symbol in (0, 1))
    assert np.array_equal(file.dead_zones, np.rint(4096 * (0.045 * (one - zero)).clip(0, 0.25)))


def test_a_model_file_that_was_read_cannot_be_changed(tiny_model):
    file = model_file.load(tiny_model[0])
    assert file.dead_zones.dtype == np.int16 and file.dead_zones.shape == (64,)
    for array in (file.dead_zones, file.levels, *file.tensors.values()):
        assert not array.flags.writeable
    with pytest.raises(TypeError):
        file.tensors["levels"] = file.levels
    with pytest.raises(AttributeError):
        file.tune = "eye"


def test_a_model_file_is_read_once_until_it_changes(tiny_model, tmp_path):
    path = tmp_path / "m.safetensors"
    shutil.copy(tiny_model[0], path)
    first = model_file.load(path)
    assert model_file.load(path) is first and torch_codec.load(path, CPU) is torch_codec.load(path, CPU)
    tensors, metadata = parts(path)
    tensors["synthesis.shortcut.bias"][0] += 2
    model_id = model_file.write(path, tensors, metadata)
    os.utime(path, (0, 0))
    assert model_file.load(path).id == torch_codec.load(path, CPU).id == model_id != first.id


def test_models_are_listed_found_and_verified_without_torch(tiny_model):
    command = """
import sys
from pathlib import Path
from codec.coding import model_file, model_search, model_tensors
from codec.coding.device import resolve_device
shipped = [model_file.load(path) for path in model_search.available()]
assert [model_search.find_id(file.id) for file in shipped] == [file.path for file in shipped]
file = model_file.load(Path(sys.argv[1]))
model_file.write(Path(sys.argv[1]).with_name("copy.safetensors"), file.tensors, {"aec_model": "{}"})
try:
    resolve_device("gpu")
except ValueError:
    print(file.id.hex(), "torch" in sys.modules)
"""
    run = subprocess.run([sys.executable, "-c", command, tiny_model[0]], capture_output=True, text=True)
    assert (run.stdout, run.stderr) == (f"{tiny_model[1].hex()} False\n", "")


@pytest.mark.parametrize("arguments", [["--version"], ["info", "packed.aec"]])
def test_version_and_info_need_no_torch(packed, arguments):
    script = f"""
import sys
from codec.cli import main
try:
    code = main({arguments!r})
except SystemExit as end:
    code = end.code
assert code == 0 and "torch" not in sys.modules
"""
    run = subprocess.run([sys.executable, "-c", script], cwd=packed.parent, capture_output=True, text=True)
    assert run.returncode == 0 and run.stderr == ""


def test_a_float_model_is_what_was_exported_whatever_the_levels(tmp_path):
    torch.manual_seed(3)
    model = Model(Config(**CONFIG))
    for vector in (model.log_step, model.entropy.quality):
        torch.nn.init.normal_(vector.knots, std=0.3)
    levels = 1 + 119 * torch.linspace(0, 1, 100) ** 1.5
    export.save(tmp_path / "m.safetensors", model, levels=levels)
    back = export.float_model(tmp_path / "m.safetensors")
    for name in ("log_step", "entropy.quality"):
        knots = [m.get_submodule(name).knots for m in (model, back)]
        assert torch.allclose(*knots, atol=0.02)


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("analysis.bogus.weight", lambda _: np.zeros((1, 1, 1, 1), np.int8), "is no tensor of such a model"),
        ("analysis.shortcut.weight", lambda t: t.astype(np.int8), r"is int8 .*: int16 .* is allowed"),
        ("analysis.head8.weight", lambda t: t.astype(np.int16), r"is int16 .*: int8 .* is allowed"),
    ],
)
def test_an_encoders_half_of_other_forms_does_not_encode(tiny_model, tmp_path, name, change, words):
    tensors, metadata = parts(tiny_model[0])
    other = tmp_path / "other.safetensors"
    model_file.write(other, tensors | {name: change(tensors.get(name))}, metadata)
    with pytest.raises(ModelError, match=f"{name} {words}"):
        codec.encode(photos.photo(40, 56), model=other)


def test_a_model_with_the_decoders_half_only_says_so_to_those_who_want_its_tensors(tiny_model, tmp_path):
    tensors, metadata = parts(tiny_model[0])
    half = tmp_path / "half.safetensors"
    model_file.write(half, {k: v for k, v in tensors.items() if "analysis" not in k}, metadata)
    for ask in (lambda file: file.tensors, lambda file: file.encoder()):
        with pytest.raises((ModelError, ValueError), match="it has the decoder's half only"):
            ask(model_file.load(half))
