"""The arguments of `aec train`."""

import argparse

from . import arguments


def add(p: argparse.ArgumentParser) -> None:
    p.add_argument("data", nargs="+", metavar="DATA", help="folder of pictures, or tar shards of them")
    family = p.add_argument_group("a classic autoencoder, for collections of small pictures of one size")
    family.add_argument(
        "--arch",
        metavar="NAME",
        help="such as undercomplete, convolutional or variational; DATA may then be IDX, npy and npz files too",
    )
    family.add_argument("--latents", type=arguments.count, metavar="N", help="how many (default: as its file says)")
    family.add_argument("--epochs", type=arguments.positive, metavar="N", help="passes over DATA, instead of --minutes")
    p.add_argument(
        "-o", "--output", required=True, metavar="MODEL", help="model file, .safetensors; checkpoints go beside it"
    )
    p.add_argument(
        "--minutes",
        type=arguments.not_negative,
        help="of training, that of --resume's checkpoint included; to fit and to measure the model takes some minutes "
        "more. 0: fit the coding tables and the meaning of the qualities to DATA, and train nothing",
    )
    start = p.add_mutually_exclusive_group()
    start.add_argument("--resume", metavar="CHECKPOINT", help="go on from here")
    start.add_argument(
        "--init", metavar="MODEL|CHECKPOINT", help="a new run that begins with these weights; a model's file or name"
    )
    transforms = ("analysis", "synthesis")
    p.add_argument(
        "--anew", nargs="+", choices=transforms, default=[], help="of --init's, begin the blocks of these nets again"
    )
    p.add_argument(
        "--blend",
        nargs=2,
        metavar=("MODEL", "SHARE"),
        help="begin SHARE (0..1) of the way from --init's weights to those of MODEL; where one was trained on from the "
        "other, models lie between them that are better at a mixture",
    )
    p.add_argument(
        "--keep-checkpoint",
        action="store_true",
        help="leave the checkpoint beside the model, to --resume it with more minutes; it stays anyway after --resume",
    )
    p.add_argument(
        "--only", nargs="+", choices=(*transforms, "hyper_analysis", "entropy"), default=[], help="train no other nets"
    )
    p.add_argument(
        "--tune",
        choices=("mse", "ms-ssim", "eye"),
        help="the distortion to train for: squared error (mse), MS-SSIM, or a mixture of both with SSIMULACRA 2 (eye); "
        "default: that of --init's model or of --resume's run, else mse",
    )
    p.add_argument(
        "--shares",
        type=arguments.shares,
        metavar="NAME=SHARE,..",
        help=f"another mixture for --tune: shares of {', '.join(arguments.MEASURES)}, together 1",
    )
    p.add_argument(
        "--config",
        choices=("small", "medium", "base"),
        help="default: that of --init's model, else base; --init grows into a larger one, --resume keeps its own",
    )
    p.add_argument(
        "--holdout", metavar="PATH", help="pictures for the figures at the end (default: a fiftieth of DATA)"
    )
    p.add_argument(
        "--stream",
        action="store_true",
        help="read DATA again and again, and keep a part of it in memory, as is done anyway if it does not fit",
    )
    arguments.device_option(p, "auto, cpu, cuda or cuda:N; auto, the default, takes a GPU if there is one")
    p.add_argument(
        "--batch",
        type=arguments.count,
        metavar="N",
        help="crops per step, in all processes together (default: 16; with --arch 128 pictures)",
    )
    p.add_argument(
        "--learning-rate", type=arguments.positive, default=1e-3, metavar="RATE", help="its peak (default: 1e-3)"
    )
    p.add_argument("--seed", type=int, default=0, metavar="N", help="of the weights and the crops (default: 0)")
    p.add_argument("-f", "--force", action="store_true", help="overwrite the model")
    p.add_argument("--quiet", action="store_true", help="no progress")
    arguments.debug(p)
