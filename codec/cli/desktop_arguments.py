"""The arguments of `aec thumbnail` and `aec desktop`."""

import argparse

from . import arguments


def add_thumbnail(p: argparse.ArgumentParser) -> None:
    p.add_argument("input", metavar="IN", help=".aec file, or its file:// URI")
    p.add_argument("output", metavar="OUT", help="PNG file, which is written over; - for stdout")
    p.add_argument(
        "-s",
        "--size",
        type=arguments.count,
        default=256,
        metavar="PIXELS",
        help="the largest width and height (default: 256); smaller pictures are not enlarged",
    )
    arguments.debug(p)


def add_desktop(p: argparse.ArgumentParser) -> None:
    help = "write the files of the desktop, or remove them; or print a delegates.xml for ImageMagick"
    p.add_argument("action", choices=("install", "uninstall", "delegates"), help=help)
    p.add_argument(
        "--prefix",
        metavar="DIR",
        help="for all users: /usr/local or /usr; the files go below DIR/share, not into ~/.local/share for this user",
    )
    arguments.debug(p)
