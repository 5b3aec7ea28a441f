"""`aec info`, `verify`, `doctor` and `view`: what they say of files and of the machine."""

import json

from shell import damage, here, of_another_model

import codec
from codec import format


def test_info_says_what_the_file_says(packed, capsys):
    assert here("info", packed) == 0
    text = dict(
        line.split(maxsplit=1)
        for line in capsys.readouterr().out.splitlines()
        if line.split()[0] in ("width", "mode", "model")
    )
    assert text == {"width": "56", "mode": "RGB", "model": codec.inspect(packed.read_bytes()).model_id.hex()}


def test_info_json_is_one_object_for_each_file(packed, capsys):
    data = packed.read_bytes()
    assert here("info", "--json", packed, packed) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and lines[0] == lines[1]
    layout = format.read(data)
    assert json.loads(lines[0]) == {
        "file": str(packed),
        "bytes": len(data),
        "width": 56,
        "height": 40,
        "mode": "RGB",
        "alpha": False,
        "depth": 8,
        "stored": None,
        "metadata": {},
        "quality": 60,
        "bits_per_pixel": round(8 * len(data) / (56 * 40), 4),
        "tiles": 1,
        "tile_side": layout.header.tile,
        "overhead_bytes": layout.overhead_bytes,
        "model": layout.header.model_id.hex(),
        "format_version": format.VERSION,
    }


def test_info_reads_files_of_models_that_are_not_at_hand_and_names_damage(packed, capsys):
    good = packed.read_bytes()
    packed.write_bytes(of_another_model(good))
    assert here("info", "--json", packed) == 0
    assert json.loads(capsys.readouterr().out)["model"] == "deadbeef"
    packed.write_bytes(damage(good))
    assert here("info", packed) == 4
    assert "checksum of tile 0" in capsys.readouterr().err
