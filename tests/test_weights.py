"""Model files: found by name or id, verified, and refused when they are not what they must be."""

import json

import numpy as np
import photos
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

import codec
from codec.coding import model_file
from codec.errors import ModelError
from codec.nets.model import Config, Model

CPU = torch.device("cpu")


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
        model_file.find_id(b"\0\0\0\0")


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
    monkeypatch.setenv(model_file.SEARCH_PATH, str(path.parent))
    assert np.array_equal(codec.decode(data, output="numpy"), by_path)
    assert codec.encode(image, model="tiny") == data


def test_files_that_are_no_models_beside_a_model_do_not_hide_it(tiny_model, tmp_path, monkeypatch):
    from safetensors.torch import save_file

    path, _ = tiny_model
    data = codec.encode(photos.photo(8, 8), model=path)
    save_file(
        {"x": torch.zeros(1)}, tmp_path / "a.checkpoint.safetensors", {"aec_checkpoint": "{}"}
    )  # as `aec train` leaves
    save_file({"x": torch.zeros(1)}, tmp_path / "b.safetensors", {"aec_model": "{}"})
    (tmp_path / "c.safetensors").write_bytes(b"not safetensors at all")
    (tmp_path / "tiny.safetensors").write_bytes(path.read_bytes())
    monkeypatch.setenv(model_file.SEARCH_PATH, str(tmp_path))
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
    config = Config(latents=8, hyper=4, wide8=8, blocks8=1, wide16=8, blocks16=1, context=8, steps=2)
    model = Model(config)
    assert model_file.save(tmp_path / "again.safetensors", model) == tiny_model[1]
    with torch.no_grad():
        model.synthesis.shortcut.bias[0] += 1
    assert model_file.save(tmp_path / "other.safetensors", model) != tiny_model[1]
    with torch.no_grad():
        model.synthesis.shortcut.bias[0] -= 1
        model.analysis.shortcut.bias[0] += 1  # the encoder's half may change: old files stay readable
    assert model_file.save(tmp_path / "encoder.safetensors", model) == tiny_model[1]


@pytest.mark.parametrize(
    "name, value",
    [
        ("entropy.step", 0),
        ("entropy.hyper_index", 64),
        ("entropy.net.head.shift", 16),
        ("entropy.net.head.weight", 32767),
        ("tables.freqs", 1),
    ],
)
def test_a_model_whose_numbers_break_the_specification_is_refused_though_its_hashes_are_right(
    tiny_model, tmp_path, name, value
):
    with safe_open(tiny_model[0], "pt") as f:
        tensors, metadata = {k: f.get_tensor(k) for k in f.keys()}, f.metadata()
    tensors[name].fill_(value)
    if name.endswith("weight"):
        tensors["entropy.net.head.bias"].fill_(2**31 - 1)
    path = tmp_path / "odd.safetensors"
    model_file.write_tensors(path, tensors, metadata | model_file._hashes(tensors, metadata["aec_model"]))
    with pytest.raises(codec.ModelError, match="not a model this aec can run"):
        model_file.load(path, CPU)


def test_a_model_with_another_configuration_or_without_a_tensor_is_refused(tiny_model, tmp_path):
    with safe_open(tiny_model[0], "pt") as f:
        whole, metadata = {k: f.get_tensor(k) for k in f.keys()}, f.metadata()
    config = json.loads(metadata["aec_model"])
    path = tmp_path / "odd.safetensors"
    complex_bias = {"synthesis.shortcut.bias": whole["synthesis.shortcut.bias"].to(torch.complex64)}
    for changed, tensors, words in (
        (config | {"steps": 3}, whole, "3 context steps: 2 or 4"),
        (config | {"context": 16}, whole, "size mismatch"),
        (config | {"surprise": 1}, whole, "surprise"),
        (config | dict.fromkeys(("latents", "hyper", "context"), 1 << 14), {}, "Missing key"),  # else 34 GB of zeros
        (config | {"blocks16": 1 << 20}, whole, "blocks16 is 1048576: 0 to 64"),
        (config | {"wide8": 1 << 20}, whole, "wide8 is 1048576: 1 to 16384"),
        (config, whole | complex_bias, "synthesis holds torch.complex64: float16"),
        (config, whole | {"entropy.step": torch.tensor(1, dtype=torch.int16)}, "size mismatch"),
        (config, {k: v for k, v in whole.items() if k != "tables.freqs"}, "tables.freqs"),
        (config, {k: v for k, v in whole.items() if k != "synthesis.head16.bias"}, "head16.bias"),
    ):
        text = json.dumps(changed)
        model_file.write_tensors(path, tensors, {"aec_model": text} | model_file._hashes(tensors, text))
        with pytest.raises(codec.ModelError, match=f"(?s)not a model this aec can run.*({words})"):
            model_file.load(path, CPU)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda levels: levels.index_fill_(0, torch.tensor([57]), float("nan")), r"levels\[57\] is nan"),
        (lambda levels: levels.flip(0), r"levels\[1\] is .*: levels must rise"),
        (lambda levels: levels + 100, r"levels\[20\] is 121"),
        (lambda levels: levels - 1, r"levels\[0\] is 0"),
        (lambda levels: levels[:99], r"levels are torch.float32 \[99\]: float32 \[100\] is allowed"),
        (lambda levels: levels.double(), r"levels are torch.float64 \[100\]"),
    ],
)
def test_levels_that_no_exporter_writes_are_refused(tiny_model, tmp_path, change, words):
    tensors, config = load_file(tiny_model[0]), model_file._metadata(tiny_model[0])
    tensors["levels"] = change(torch.arange(1.0, 101.0))
    path = tmp_path / "m.safetensors"
    model_file.write_tensors(path, tensors, config | model_file._hashes(tensors, config["aec_model"]))
    with pytest.raises(ModelError, match=words):
        model_file.load(path, torch.device("cpu"))


def test_a_model_of_before_levels_has_its_qualities_for_levels(tiny_model, tmp_path):
    tensors, config = load_file(tiny_model[0]), model_file._metadata(tiny_model[0])
    del tensors["levels"]
    path = tmp_path / "m.safetensors"
    model_file.write_tensors(path, tensors, config | model_file._hashes(tensors, config["aec_model"]))
    model = model_file.load(path, torch.device("cpu"))
    assert model.level(1).tolist() == [1.0] and model.level(73).tolist() == [73.0]


def test_a_float_model_is_what_was_exported_whatever_the_levels(tmp_path):
    torch.manual_seed(3)
    model = Model(Config(latents=8, hyper=4, wide8=8, blocks8=1, wide16=8, blocks16=1, context=8, steps=2))
    for vector in (model.log_step, model.entropy.quality):
        torch.nn.init.normal_(vector.knots, std=0.3)
    levels = 1 + 119 * torch.linspace(0, 1, 100) ** 1.5
    model_file.save(tmp_path / "m.safetensors", model, levels=levels)
    back = model_file.float_model(tmp_path / "m.safetensors")
    for name in ("log_step", "entropy.quality"):
        knots = [m.get_submodule(name).knots for m in (model, back)]
        assert torch.allclose(*knots, atol=0.02)
