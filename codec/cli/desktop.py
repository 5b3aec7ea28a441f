"""`aec desktop`: it tells file managers and ImageMagick of aec."""

import os
import shutil
import sys
from argparse import Namespace
from pathlib import Path

from ..desktop.install import check_path, collect, danger, data_home, delegates, install, uninstall
from .jobs import UsageError
from .streams import complain, say, shown


def desktop(args: Namespace) -> int:
    if args.action == "delegates":
        if args.prefix is not None:
            raise UsageError("--prefix means nothing for delegates: they are printed")
        say(delegates(_command(imagemagick=True)).removesuffix("\n"))
        return 0
    if args.prefix is None:
        return _change(args.action, data_home())
    before = os.umask(0o022)  # files for all users are read by all, and so are the databases that are made of them
    try:
        return _change(args.action, Path(args.prefix).absolute() / "share", for_all=True)
    finally:
        os.umask(before)


def _change(action: str, share: Path, for_all: bool = False) -> int:
    if action == "install":
        command = _command()
        if for_all:
            _warn_of_dangers(command)
        paths, others = install(share, command)
    else:
        paths, others = uninstall(share)
        if not paths:
            complain(f"aec: nothing that aec desktop has installed is below {share}")
    for path in others:
        complain(f"aec: {path} is not of aec desktop, and stays as it is")
    for path in paths:
        say(shown(str(path)))
    if paths:
        collect(share, lambda words: complain(f"aec: {words}"))
    return 0


def _warn_of_dangers(command: str) -> None:
    """Warn where the programs of all users would call one that they cannot read, or that one of them can replace."""
    needed = (Path(command), Path(sys.executable), Path(__file__).parents[1])
    for why in dict.fromkeys(filter(None, map(danger, needed))):
        complain(f"aec: warning: {command} is not for all users: {why}; install aec below /usr, as root")


def _command(imagemagick: bool = False) -> str:
    """Return the path of this program, for those who call it later and do not have this environment."""
    beside = shutil.which("aec", path=str(Path(sys.executable).parent))
    if (found := beside or shutil.which("aec")) is None:
        raise UsageError("there is no program named aec beside this Python or on the path: install the package first")
    command = str(Path(found).absolute())
    try:
        check_path(command, imagemagick)
    except ValueError as e:
        raise UsageError(str(e)) from None
    return command
