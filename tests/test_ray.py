"""aec on Ray and Spark: the same bytes as on one machine, and every picture once, whatever is killed."""

import io
import json
import os
import threading
from pathlib import Path

import numpy as np
import photos
import pytest
import shards
from PIL import Image
from shell import files, here

import codec
from codec.bulk import shard
from codec.bulk.names import Shard, plan
from codec.bulk.task import Task, one_by_one
from codec.conversion import Compression
from codec.errors import BackendError, ModelError
from codec.given import open_picture
from codec.io import OutputError
from codec.plugins import ray as plugin
from codec.plugins import spark


@pytest.fixture(scope="module")
def ray():
    """Ray on this machine, with two workers, for all tests here: it takes seconds to start."""
    ray = pytest.importorskip("ray")
    pytest.importorskip("ray.data")
    memory = 100 << 20
    with pytest.MonkeyPatch.context() as patch:  # the workers' folder is another, and they import shards.py
        patch.setenv("PYTHONPATH", os.pathsep.join((str(Path(__file__).parent), os.environ["PYTHONPATH"])))
        ray.init(
            num_cpus=2, include_dashboard=False, logging_level="ERROR", log_to_driver=False, object_store_memory=memory
        )
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield ray
    ray.shutdown()


def workers(name: str) -> list:
    """The processes that do this for Ray at this moment, of those that this process has started."""
    import psutil  # which Ray brings along

    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            title = process.cmdline()[:1]
        except psutil.Error:
            continue
        if title and title[0].startswith("ray::") and name in title[0]:
            found.append(process)
    return found


def encoded(png: bytes, **options) -> bytes:
    """What one call of `codec.encode` makes of it."""
    return codec.encode(open_picture(png), source=png, **options)


class Killer(threading.Thread):
    """So many times, kills all workers that do this. An actor that dies while it begins is an error to ray.data."""

    def __init__(self, name: str, kills: int):
        super().__init__()
        self.what, self.kills, self.killed, self.over = name, kills, [], threading.Event()

    def run(self) -> None:
        while len(self.killed) < self.kills and not self.over.wait(0.1):
            if found := workers(self.what):
                self.over.wait(0.2)  # in the middle of its work
                for process in found:
                    process.kill()
                self.killed.append(len(found))
                self.over.wait(0.3)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_) -> None:
        self.over.set()
        self.join()


def test_shards_are_made_of_the_same_bytes_as_here_though_workers_are_killed(ray, tmp_path):
    """Twice all of them at once, as where a machine is lost; a shard that was under way is begun again elsewhere."""
    n = 16
    for i in range(4):
        shards.write(tmp_path / f"in-{i}.tar", shards.samples(n, n * i))
    slow = Task(shards.Slow({"lossless": True}))
    todo = plan([str(tmp_path / f"in-{i}.tar") for i in range(4)], f"{tmp_path}/out-{{}}.tar")
    told: list[int] = []
    with Killer("_convert", 2) as killer:
        outcomes = list(plugin.run(todo, slow, told.append))
    assert len(killer.killed) == 2
    assert [outcome.error for outcome in outcomes] == [None] * 4
    assert {outcome.shard for outcome in outcomes} == set(todo) and told == [n] * 4
    names = set()
    for i in range(4):
        shard.convert(
            Shard(todo[i].source, f"{tmp_path}/here-{i}.tar"), slow, one_by_one(Compression({"lossless": True}))
        )
        for suffix in (".tar", ".jsonl"):
            assert (tmp_path / f"out-{i}{suffix}").read_bytes() == (tmp_path / f"here-{i}{suffix}").read_bytes()
        rows = [json.loads(line) for line in (tmp_path / f"out-{i}.jsonl").read_text().splitlines()]
        names |= {row["name"] for row in rows}
    assert len(names) == 4 * n
    assert not [name for name in files(tmp_path) if name.endswith((".part", ".journal"))]


def test_the_command_runs_on_ray_and_tells_what_failed(ray, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shards.write(tmp_path / "in-0.tar", [*shards.samples(2, side=32), ("bad.png", b"bad")])
    (tmp_path / "in-1.tar").write_bytes(b"cut")
    arguments = ("compress", "--from", "in-{0..1}.tar", "--to", "out-{}.tar", "-q", 60, "--engine", "ray", "--json")
    assert here(*arguments) == 1
    out, err = capsys.readouterr()
    rows = {row["in"]: row for row in map(json.loads, out.splitlines())}
    assert rows["in-0.tar"]["done"] == 2 and rows["in-0.tar"]["failed"] == 1
    assert rows["in-1.tar"]["status"] == "failed" and "in-1.tar: the shard cannot be read" in err
    assert dict(shards.read(tmp_path / "out-0.tar"))["0001.aec"] == encoded(shards.png(1, 32), quality=60)
    assert ray.is_initialized()  # it was connected before, and so it stays


def test_datasets_have_every_picture_once_though_all_actors_are_killed(ray, tmp_path):
    """Compressed, written, read and decompressed; the actors that compress are killed in the middle."""
    given = [{"bytes": shards.png(i, 24), "path": f"in/{i}.png"} for i in range(24)]
    found = ray.data.from_items([*given, {"bytes": b"no picture", "path": "in/bad.png"}], override_num_blocks=5)
    slow = found.map_batches(shards.SlowCompressor, fn_constructor_kwargs={"quality": 60}, batch_size=5, concurrency=2)
    with Killer(").submit", 1) as killer:
        made = slow.materialize()
    assert len(killer.killed) == 1 and made.count() == 25
    rows = {Path(row["path"]).stem: row for row in made.take_all()}
    assert (
        rows["bad"]["status"] == "failed" and "not a picture" in rows["bad"]["error"] and rows["bad"]["bytes"] is None
    )
    assert all(rows[str(i)]["bytes"] == encoded(shards.png(i, 24), quality=60) for i in range(24))
    assert plugin.write_aec(made, str(tmp_path / "out")) == {"written": 24, "failed": 1}
    assert files(tmp_path / "out") == {f"{i}.aec" for i in range(24)}
    back = plugin.read_aec(str(tmp_path / "out"), scale=1 / 2, concurrency=1).take_all()
    assert {Path(row["path"]).stem: row["image"].shape for row in back} == {str(i): (12, 13, 3) for i in range(24)}
    for row in back:
        assert np.array_equal(row["image"], codec.decode(row["path"], output="numpy", scale=1 / 2))


# ------------------------------------------------------------------ the callables by themselves


def objects(values: list) -> np.ndarray:
    array = np.empty(len(values), object)
    array[:] = values
    return array


def test_the_callables_convert_batches_and_keep_other_columns():
    images = [photos.photo(10 + i, 14, seed=i) for i in range(3)]
    given = {"image": objects(images), "label": np.arange(3)}
    made = plugin.AecCompressor(quality=50)(given)
    assert list(made) == ["label", "bytes", "status", "error"] and list(made["status"]) == ["done"] * 3
    assert [made["bytes"][i] for i in range(3)] == [codec.encode(image, 50) for image in images]
    back = plugin.AecDecompressor()({"bytes": made["bytes"], "label": made["label"]})
    assert list(back) == ["label", "image"] and back["image"][2].shape == (12, 14, 3)
    assert np.array_equal(back["image"][1], codec.decode(made["bytes"][1], output="numpy"))
    png = plugin.AecDecompressor("png")({"bytes": objects([made["bytes"][0], b"bad", None])})
    assert list(png["status"]) == ["done", "failed", "failed"] and png["bytes"][1] is None
    assert Image.open(io.BytesIO(png["bytes"][0])).size == (14, 10)


def test_bad_files_raise_their_error_or_lose_their_row():
    batch = {"bytes": objects([codec.encode(photos.photo(9, 9), lossless=True), b"bad"]), "path": objects(["a", "b"])}
    with pytest.raises(ValueError, match="^b: "):
        plugin.AecDecompressor()(batch)
    kept = plugin.AecDecompressor(errors="drop")(batch)
    assert list(kept["path"]) == ["a"] and len(kept["image"]) == 1
    with pytest.raises(ValueError, match="the columns are path: one must be bytes"):
        plugin.AecCompressor()({"path": batch["path"]})
    bad = plugin.AecCompressor()({"image": objects([np.zeros((3, 3, 9), np.uint8)])})
    assert bad["bytes"][0] is None and bad["status"][0] == "failed" and bad["error"][0]


def test_wrong_options_are_an_error_at_once_and_not_a_failure_of_each_picture(tmp_path):
    for wrong in (lambda: plugin.AecCompressor(qualty=60), lambda: spark.compressor(qualty=60)):
        with pytest.raises(TypeError, match="qualty"):
            wrong()
    with pytest.raises(ValueError, match="scale 3"):
        plugin.AecDecompressor(scale=3)
    for decompressor in (plugin.AecDecompressor, spark.decompressor):
        with pytest.raises(OutputError, match="pngg"):
            decompressor("pngg")
    with pytest.raises(ModelError, match="does not exist"):
        plugin.AecDecompressor(model=str(tmp_path / "missing.safetensors"))


def test_faults_of_the_machine_are_raised_and_cost_no_rows(monkeypatch):
    def broken(*arguments, **options):
        raise BackendError("no GPU")

    compressor, decompressor = plugin.AecCompressor(), plugin.AecDecompressor(errors="drop")
    for name in ("encode", "decode"):
        monkeypatch.setattr(codec.api, name, broken)
    for call in (
        lambda: compressor({"image": objects([photos.photo(9, 9)])}),
        lambda: compressor({"bytes": objects([shards.png(1)])}),
        lambda: decompressor({"bytes": objects([b""])}),
    ):
        with pytest.raises(BackendError, match="no GPU"):
            call()


def test_two_pictures_of_one_name_do_not_become_one_file(tmp_path):
    data = [codec.encode(photos.photo(9, 9, seed=i), lossless=True) for i in range(2)]
    assert plugin._write(str(tmp_path), "a/1.png", data[0]) and plugin._write(str(tmp_path), "a/1.png", data[0])
    with pytest.raises(codec.plugins.ray.ExistsError, match="becomes another file"):
        plugin._write(str(tmp_path), "b/1.png", data[1])
    with pytest.raises(ValueError, match="no .aec file"):
        plugin._write(str(tmp_path), "c.png", b"png")


def test_spark_frames_are_converted_there_and_back():
    """By plain pandas frames, which is all that mapInPandas gives."""
    pandas = pytest.importorskip("pandas")
    frames = [pandas.DataFrame({"path": [f"{i}", "bad"], "content": [shards.png(i, 24), b"bad"]}) for i in range(2)]
    made = list(spark.compressor(quality=60)(iter(frames)))
    assert [list(frame.columns) for frame in made] == [["path", "content", "status", "error"]] * 2
    assert made[1].content[0] == encoded(shards.png(1, 24), quality=60)
    assert made[1].status.tolist() == ["done", "failed"] and "not a picture" in made[1].error[1]
    (back,) = spark.decompressor("png")(iter([made[0]]))  # with the null of the picture that failed
    assert Image.open(io.BytesIO(back.content[0])).size == (25, 24)
    assert back.status.tolist() == ["done", "failed"] and back.error[1] == "there is no picture"
