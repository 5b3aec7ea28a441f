"""Training in several processes: the same steps as in one, one model, and none that waits for another for ever."""

import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import tarfile
from pathlib import Path
from unittest.mock import patch

import numpy as np
import photos
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from shell import files, here

from codec.coding.model_config import Config
from codec.train import codec_run, command, distributed, loop, muon
from codec.train.checkpoints import reading
from codec.train.codec_run import KIND, Options, Run, batch_unit

TINY = Config(latents=8, hyper=4, wide8=8, blocks8=1, wide16=8, blocks16=1, context=8, steps=2)
PATIENCE = 300  # seconds: a machine may be busy


def train(
    steps: int, checkpoint: Path, resume: Path | None = None, processes=distributed.ALONE, at_step_1=lambda: None
) -> np.ndarray:
    """Train a tiny model, in float32 on every processor. Returns the figures of each step."""
    # In bf16 the halves of a batch round in other places than the whole one, by more than this file allows.
    with patch.object(codec_run, "multiplies_bf16", _never), patch.object(muon, "multiplies_bf16", _never):
        return _train(steps, checkpoint, resume, processes, at_step_1)


def _never(device: torch.device) -> bool:
    return False


def _train(steps: int, checkpoint: Path, resume: Path | None, processes, at_step_1) -> np.ndarray:
    options = Options(minutes=1.0, steps=steps, batch=8, processes=processes)
    images = [photos.photo(256, 256 + 16 * i, seed=i) for i in range(3)]
    if resume is None:
        run = Run(options, TINY)
        run.start(images)
    else:
        run = Run.load(resume, options)
    run.images = images
    figures, advance = [], run.advance

    def noted(progress, rate):
        if run.step == 1:
            at_step_1()
        figures.append(advance(progress, rate).numpy())
        return torch.from_numpy(figures[-1])

    run.advance = noted
    loop.train(run, checkpoint, lambda line: None)
    return np.array(figures)


def _worker(rank: int, port: int, work, arguments, folder: Path) -> None:
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    processes, _ = distributed.join("cpu")
    np.save(folder / f"{rank}.npy", work(processes, *arguments))
    processes.leave()


def in_two_processes(folder: Path, work, *arguments) -> list[int | None]:
    """Run work(processes, *arguments) in two processes. Returns their exit codes, None for one that does not end.

    What it returned lies in RANK.npy.
    """
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    context = multiprocessing.get_context("forkserver")  # torch is imported once, before the fork
    context.set_forkserver_preload(["codec.train.codec_run", "torch._dynamo"])
    workers = [context.Process(target=_worker, args=(r, port, work, arguments, folder)) for r in range(2)]
    for w in workers:
        w.start()
    for w in workers:
        w.join(PATIENCE)
    codes = [w.exitcode for w in workers]
    for w in workers:
        w.kill()
    return codes


def _train_twice(processes: distributed.Processes, folder: Path) -> list[np.ndarray]:
    first = train(2, folder / "two.safetensors", processes=processes)
    return [first, train(4, folder / "one-two.safetensors", folder / "one.safetensors", processes)]


def test_two_processes_make_the_steps_of_one_and_go_on_from_each_others_checkpoints(tmp_path):
    alone = train(2, tmp_path / "one.safetensors")
    assert in_two_processes(tmp_path, _train_twice, tmp_path) == [0, 0]
    went_on = train(4, tmp_path / "two-one.safetensors", tmp_path / "two.safetensors")
    first, second = (np.load(tmp_path / f"{rank}.npy") for rank in range(2))
    assert np.array_equal(first, second)  # each knows the figures of the whole batch
    assert np.allclose(first, [alone, went_on], rtol=1e-4)
    assert not np.allclose(alone[0], alone[1], rtol=1e-2)
    for pair in (("one", "two"), ("one-two", "two-one")):
        tensors, others = (load_file(tmp_path / f"{name}.safetensors") for name in pair)
        assert tensors.keys() == others.keys()
        assert all(torch.allclose(tensors[k], others[k], rtol=1e-3, atol=1e-5) for k in tensors)


def _end_second(processes: distributed.Processes, checkpoint: Path, how: signal.Signals | None) -> np.ndarray:
    def at_step_1():
        if processes.rank == 1 and how is None:
            raise RuntimeError("out of memory, say")
        if processes.rank == 1:
            os.kill(os.getpid(), how)

    return train(10**6, checkpoint, None, processes, at_step_1)


@pytest.mark.parametrize(("how", "steps"), [(None, 1), (signal.SIGTERM, 2)])
def test_when_one_process_ends_all_do_and_the_first_writes_a_checkpoint(tmp_path, how, steps):
    """After a signal that asks, all end with the present step; after a failure, the first has the step before."""
    codes = in_two_processes(tmp_path, _end_second, tmp_path / "c.safetensors", how)
    assert None not in codes and 0 not in codes
    with reading(tmp_path / "c.safetensors", KIND) as (meta, _):
        assert meta["step"] == steps


def shards(folder: Path, n_shards: int, n_images: int, side: int = 256) -> list[Path]:
    """Write tar shards of PNG files."""
    paths = [folder / f"{i:03}.tar" for i in range(n_shards)]
    for i, path in enumerate(paths):
        with tarfile.open(path, "w") as tar:
            for j in range(n_images):
                name = folder / f"{i}-{j}.png"
                Image.fromarray(photos.photo(side, side, seed=n_images * i + j)).save(name)
                tar.add(name, name.name)
                name.unlink()
    return paths


def test_torchrun_trains_one_model_from_streamed_shards_and_only_the_first_process_speaks(tmp_path, tiny_model):
    data = shards(tmp_path, 2, 2)
    (tmp_path / "out").mkdir()
    model = tmp_path / "out" / "m.safetensors"
    # With `timeout`, because torchrun ends its workers only if it is asked to end itself.
    start = ["timeout", str(PATIENCE), sys.executable, "-m", "torch.distributed.run", "--standalone"]
    start += ["--nproc-per-node", "2", "-m", "codec.train", *data, "-o", model, "--minutes", "0.01"]
    start += ["--init", tiny_model[0], "--stream", "--device", "cpu"]
    done = subprocess.run(list(map(str, start)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("2 shards and 0 other images, streamed; 2 held out") == 1
    assert done.stderr.count("wrote ") == 1
    assert files(tmp_path / "out") == {"m.safetensors"}


@pytest.mark.parametrize(("size", "batch", "unit"), [(1, 0, 1), (1, -4, 1), (2, 12, 8), (3, 16, 12), (8, 16, 32)])
def test_a_batch_that_cannot_be_shared_equally_is_refused(size, batch, unit, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "join", lambda device: (distributed.Processes(0, size), device))
    options = Options(minutes=1.0, batch=batch)
    allowed = f"a multiple of {unit} with {size} processes" if size > 1 else "at least 1"
    with pytest.raises(ValueError, match=f"batch {batch}: must be {allowed}"):
        command.main([], tmp_path / "m", options, None, None, (), None, None, False, print)
    assert batch_unit(distributed.Processes(0, size)) == unit


@pytest.mark.parametrize(
    ("device", "words"), [("cuda:0", "several processes take a GPU each"), ("tpu", "allowed are auto, cpu, cuda")]
)
def test_several_processes_share_no_gpu(device, words, monkeypatch):
    for name, value in zip(distributed.VARIABLES, ("1", "2", "127.0.0.1", "1"), strict=True):
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=words):
        distributed.join(device)


def test_a_classic_autoencoder_is_trained_by_one_process(tmp_path, monkeypatch, capsys):
    for name, value in zip(distributed.VARIABLES, ("1", "2", "127.0.0.1", "1"), strict=True):
        monkeypatch.setenv(name, value)
    assert here("train", tmp_path, "-o", tmp_path / "m.safetensors", "--minutes", 1, "--arch", "linear") == 2
    assert "--arch linear is trained by one process: start it without torchrun" in capsys.readouterr().err
