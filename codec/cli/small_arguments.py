"""The arguments of the commands for small pictures: `aec anomaly` and `aec sheet`."""

import argparse

from . import arguments


def _small_inputs(p: argparse.ArgumentParser) -> None:
    help = "picture, folder, tar, or IDX, npy or npz file of pictures of the model's size"
    p.add_argument("inputs", nargs="+", metavar="IN", help=help)
    p.add_argument("-r", "--recursive", action="store_true", help="folders with all that is below them")
    p.add_argument(
        "-q", "--quality", type=arguments.quality, default=75, metavar="1..100", help="of the code (default: 75)"
    )
    p.add_argument("-f", "--force", action="store_true", help="overwrite")
    p.add_argument("--quiet", action="store_true", help="errors only")
    arguments.debug(p)


def add_anomaly(p: argparse.ArgumentParser) -> None:
    which = p.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--model",
        metavar="NAME|FILE",
        help="of `aec train --arch`; the median error of IN then counts as the usual one",
    )
    which.add_argument("--train", metavar="NORMAL", help="train a model on these pictures first; needs torch")
    group = p.add_argument_group("with --train")
    group.add_argument("--arch", metavar="NAME", help="as in `aec train` (default: denoising)")
    group.add_argument("--latents", type=arguments.count, metavar="N", help="how many (default: as its file says)")
    group.add_argument("--minutes", type=arguments.positive, help="of training (default: 0.5)")
    group.add_argument("--epochs", type=arguments.positive, metavar="N", help="passes over NORMAL instead")
    group.add_argument("--seed", type=int, default=0, metavar="N", help="of the weights (default: 0)")
    group.add_argument("-o", "--output", metavar="MODEL", help="keep the model")
    p.add_argument("--top", type=arguments.count, metavar="N", help="only the N most unusual")
    p.add_argument("--maps", metavar="DIR", help="a PNG of each one that is printed, and beside it where its error is")
    p.add_argument("--json", action="store_true", help="a JSON object for each picture, and nothing else, on stdout")
    _small_inputs(p)


def add_sheet(p: argparse.ArgumentParser) -> None:
    p.add_argument("model", metavar="MODEL", help="name or file of a model of `aec train --arch`")
    help = "sheet.png, or sheet.html with a table of all latents; - for a PNG on stdout"
    p.add_argument("-o", "--output", required=True, metavar="SHEET", help=help)
    help = "pictures on the sheet, taken evenly from all (default: 16)"
    p.add_argument("-n", "--count", type=arguments.count, default=16, metavar="N", help=help)
    _small_inputs(p)
