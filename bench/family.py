"""The family of classic autoencoders on the public sets of small pictures: `python -m bench.family -o FOLDER`.

Trains each member for the number of epochs in its row, and writes family.md: parameters, minutes, what the member must
show and what it shows, and the bits of a picture in a real collection file at -q 75. Pictures (samples, features,
reconstructions) go beside it. `--only` takes names of rows; the results of the others are kept.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

import codec
from codec.small import model as small_model
from codec.train import small_export
from codec.train.family_command import mean_squared_error
from codec.train.family_run import Options, Run
from codec.train.loop import train

from . import family_data
from . import family_figures as figures
from . import family_pictures as pictures
from .machine import machine_line

QUALITY = 75
TESTED = 2000  # test pictures for the figures; bytes are those of all test pictures


@dataclass(frozen=True)
class Row:
    """A member to train.

    Args:
        arch: a key of `codec.family.MEMBERS`.
        epochs: passes over the training pictures.
        wanted: what the member must show.
        figure: measures it.
        picture: draws it; None: nothing to see.
    """

    arch: str
    data: str
    epochs: float
    wanted: str
    figure: figures.Figure
    latents: int | None = None
    batch: int = 128
    rate: float = 1e-3
    picture: pictures.Drawing | None = None
    penalty: bool = True


CURVE = "the error"
ROWS: dict[str, Row] = {
    "dense": Row("dense", "mnist", 10, "what a ReLU at the output costs", figures.dead_pixels),
    "dense-sigmoid": Row("dense-sigmoid", "mnist", 10, "the same with a sigmoid", figures.dead_pixels),
    "undercomplete-28": Row("undercomplete", "mnist", 10, CURVE, figures.squared_error, 28),
    "undercomplete-128": Row("undercomplete", "mnist", 10, CURVE, figures.squared_error, 128),
    "undercomplete-32": Row(
        "undercomplete-entropy",
        "mnist",
        20,
        "latents as pictures",
        figures.squared_error,
        picture=pictures.sheet,
    ),
    "linear": Row("linear", "mnist", 20, "the subspace of PCA", figures.beside_pca, picture=pictures.features),
    "tied": Row("tied", "mnist", 20, "half the parameters, equal error", figures.beside_pca),
    "complete": Row("complete", "mnist", 5, "identity: bits near those of the pixels", figures.squared_error),
    "overcomplete": Row("overcomplete", "mnist", 5, "the same", figures.squared_error),
    "overcomplete-l1": Row("overcomplete-l1", "mnist", 5, "a penalty makes it a code", figures.active_share),
    "sparse-l1": Row("sparse-l1", "mnist", 10, "few active latents", figures.active_share, picture=pictures.features),
    "sparse-kl": Row("sparse-kl", "mnist", 10, "the same by KL", figures.active_share),
    "contractive-free": Row(
        "contractive", "mnist", 10, "the same net without penalty", figures.squared_error, penalty=False
    ),
    "contractive": Row("contractive", "mnist", 10, "a small Jacobian", figures.contraction),
    "denoising": Row(
        "denoising",
        "mnist",
        10,
        "better than filters",
        figures.denoised("gaussian", (0.1, 0.3, 0.5)),
        picture=pictures.denoised("gaussian", 0.4),
    ),
    "denoising-salt-and-pepper": Row(
        "denoising-salt-and-pepper", "mnist", 10, "the same", figures.denoised("salt-and-pepper", (0.1, 0.3, 0.5))
    ),
    "denoising-masking": Row(
        "denoising-masking",
        "mnist",
        10,
        "inpainting",
        figures.denoised("masking", (0.25, 0.5, 0.75)),
        picture=pictures.denoised("masking", 0.5),
    ),
    "stacked": Row("stacked", "mnist", 15, "better than from scratch with few labels", figures.with_few_labels),
    "convolutional": Row(
        "convolutional",
        "cifar10",
        6,
        "MSE 0.0013 to 0.0014",
        figures.squared_error,
        batch=32,
        rate=2e-3,
        picture=pictures.sheet,
    ),
    "convolutional-mnist": Row("convolutional", "mnist", 1, "28x28 gray", figures.squared_error, batch=32, rate=3e-4),
    "undercomplete-fashion": Row("undercomplete", "fashion-mnist", 15, CURVE, figures.squared_error, 64),
    "undercomplete-solar": Row("undercomplete", "solar", 100, CURVE, figures.squared_error, 64),
    "convolutional-narrow": Row(
        "convolutional-narrow", "cifar10", 5, "few latents: a code", figures.squared_error, batch=32
    ),
    "variational": Row("variational", "mnist", 20, "ELBO, active latents", figures.evidence, picture=pictures.samples),
    "adversarial": Row(
        "adversarial", "mnist", 20, "latents like the prior", figures.beside_prior, picture=pictures.samples
    ),
    "sequence": Row("sequence", "mnist", 5, "rows read and written", figures.squared_error, rate=3e-3),
    "sequence-denoising": Row(
        "sequence-denoising", "mnist", 5, "rows without noise", figures.rows_without_noise, rate=3e-3
    ),
}


def trained(row: Row, name: str, folder: Path, others: dict[str, figures.Trained]) -> tuple[figures.Trained, dict]:
    """Train, export and measure the member of a row. Returns it, and what goes into the table."""
    train_split, test_split = family_data.read(row.data)
    options = Options(row.arch, latents=row.latents, batch=row.batch, learning_rate=row.rate)
    run = Run(options, train_split.pictures)
    if not row.penalty:
        run.member.penalty = lambda x, z: torch.zeros(())  # type: ignore[method-assign]
    options.steps = round(row.epochs * run.steps_of_epoch)
    start = time.process_time()  # not the clock, which counts what else runs on the machine
    train(run, folder / f"{name}.checkpoint.safetensors", lambda line: print(f"  {line}", flush=True))
    minutes = (time.process_time() - start) / 60
    path = folder / f"{name}.safetensors"
    small_export.save(path, run.member, row.arch, train_split.pictures)
    (folder / f"{name}.checkpoint.safetensors").unlink()
    x = torch.from_numpy(test_split.pictures[:TESTED].copy()).permute(0, 3, 1, 2).float() / 255
    model = small_model.load(path)
    found = figures.Trained(run.member.eval(), model, train_split, test_split, x, others)
    data = codec.encode_collection(test_split.pictures, path, QUALITY)
    made = codec.open_collection(data, path).decode().reshape(test_split.pictures.shape)
    error = mean_squared_error(made, test_split.pictures)
    facts = {
        "member": name,
        "data": row.data,
        "latents": model.n_latents,
        "parameters": sum(p.numel() for p in run.member.parameters()),
        "epochs": row.epochs,
        "minutes": round(minutes, 2),
        "wanted": row.wanted,
        "reached": row.figure(found),
        "bytes": round(len(data) / len(test_split.pictures), 2),
        "coded_error": round(error, 6),
        "samples": int(np.prod(model.shape)),
    }
    if row.picture is not None:
        row.picture(found, folder / f"{name}.png")
    return found, facts


def table(results: dict[str, dict], machine: str) -> str:
    """The results as a Markdown page."""
    lines = [
        "# The family of classic autoencoders",
        "",
        f"Made by `python -m bench.family`; machine: {machine}; {torch.get_num_threads()} threads. Minutes are those",
        "of the processor, for the training alone.",
        f"Bits are those of all test pictures in one collection file at -q {QUALITY}; MSE on the scale",
        "where white is 1, once as the member reconstructs and once as the collection decodes.",
        "",
        "| member | data | latents | parameters | epochs | minutes | wanted | reached | bits a picture | coded MSE |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name in ROWS:
        if r := results.get(name):
            lines.append(
                f"| {name} | {r['data']} | {r['latents']} | {r['parameters']} | {r['epochs']:g} | {r['minutes']:.1f} | "
                f"{r['wanted']} | {r['reached']} | {8 * r['bytes']:.0f} | {r['coded_error']:.5f} |"
            )
    return "\n".join([*lines, ""])


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.family", description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("family"), help="folder (default: family)")
    parser.add_argument("--only", nargs="+", choices=ROWS, metavar="ROW", help="train these; keep the others' results")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args(argv)
    if not family_data.ROOT.is_dir():
        print(f"bench.family: {family_data.ROOT} is missing, where the data sets are", file=sys.stderr)
        return 3
    args.output.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(args.threads)
    kept = args.output / "family.json"
    results = json.loads(kept.read_text()) if kept.exists() else {}
    others: dict[str, figures.Trained] = {}
    wanted = set(args.only or ROWS)
    if "contractive" in wanted:
        wanted.add("contractive-free")  # which it is compared with
    for name in (name for name in ROWS if name in wanted):
        print(name, flush=True)
        others[name], results[name] = trained(ROWS[name], name, args.output, others)
        print(f"  {results[name]['reached']}; {results[name]['bytes']} bytes", flush=True)
        kept.write_text(json.dumps(results, indent=1))
        (args.output / "family.md").write_text(table(results, machine_line(with_gpu=False)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
