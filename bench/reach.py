"""Do the transforms look beyond their block? `python -m bench.reach MODEL|CHECKPOINT IMAGE..`.

Without its branch, each transform of aec is a linear map of separate blocks of 16x16 pixels. This measures what the
branch adds: its share of the energy of decoded pictures, how much a latent changes pixels outside of its block, and
whether errors are larger along the borders of blocks than inside them, as in codecs that code each block by itself.
"""

import argparse
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from codec.coding.model_config import LATENT_STRIDE
from codec.nets.layers import saturate
from codec.nets.model import Synthesis, linear
from codec.train.codec_run import Options, Run
from codec.train.images import load_images

SIDE = 256  # side of the crops, in pixels
QUALITIES = (10, 50, 90)


def by_block(error: Tensor) -> Tensor:
    """The mean of an error [B, 3, H, W] for each position within a block, [16, 16]."""
    s = LATENT_STRIDE
    return error.mean((0, 1)).unflatten(1, (-1, s)).unflatten(0, (-1, s)).mean((0, 2))


def reach(synthesis: Synthesis, y: Tensor, q: Tensor) -> float:
    """The share of the squared change of pixels that lies outside of a block when this block's latents are set to 0."""
    row, column = (n // 2 for n in y.shape[2:])
    without = y.clone()
    without[:, :, row, column] = 0
    change = (synthesis(without, q) - synthesis(y, q)).square().sum((0, 1))
    s = LATENT_STRIDE
    own = change[row * s :, column * s :][:s, :s].sum()
    return 1 - float(own / change.sum())


@torch.no_grad()
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.reach", description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("images", nargs="+", type=Path)
    args = parser.parse_args(argv)
    model = Run.start_from(args.model, Options(minutes=1)).averaged_model()
    analysis, synthesis = model.analysis, model.synthesis
    steps = [model.log_step(torch.tensor([float(q)])).exp() for q in QUALITIES]
    images, _ = load_images(args.images, SIDE)
    x = torch.stack([torch.from_numpy(im[:SIDE, :SIDE].copy()).permute(2, 0, 1) for im in images]).float() / 255 - 0.5
    print("quality  branch's share of energy  reach beyond the block  error at borders / inside  PSNR  without branch")
    for quality, step in zip(QUALITIES, steps, strict=True):
        q = torch.tensor([float(quality)])
        y_hat = step * (saturate(analysis(x, q)) / step).round()
        whole = synthesis(y_hat, q)
        alone = F.pixel_shuffle(linear(synthesis.shortcut, y_hat), LATENT_STRIDE)
        error = by_block((whole - x).square())
        border = torch.cat([error[0], error[-1], error[1:-1, 0], error[1:-1, -1]]).mean()
        psnr = [float(-10 * (v - x).square().mean((1, 2, 3)).log10().mean()) for v in (whole, alone)]
        share = float((whole - alone).square().mean() / whole.square().mean())
        print(
            f"{quality:7} {share:24.4f} {reach(synthesis, y_hat, q):23.1e} {border / error[4:12, 4:12].mean():26.3f} "
            f"{psnr[0]:5.2f} {psnr[1]:15.2f}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
