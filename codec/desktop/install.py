"""Puts the files of this package where desktops look for them, and takes them away again."""

import os
import pwd
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from xml.sax.saxutils import escape

from ..io import write_bytes

# Marks the files of `install`. Others, such as those of CMake or of a distribution, lie at the same places.
MARK = "Written by `aec desktop install`, and removed by `aec desktop uninstall`."
FILES = Path(__file__).with_name("files")
# Below the folder of shared data, such as ~/.local/share or /usr/share.
PLACES = {
    "aec.xml": "mime/packages/aec.xml",
    "aec.thumbnailer": "thumbnailers/aec.thumbnailer",
    "aec-view.desktop": "applications/aec-view.desktop",
}
# What a path in delegates.xml must not hold: ImageMagick passes on what is in quotes, some of it to a shell, and has no
# way to write these characters as themselves.
_NOT_FOR_IMAGEMAGICK = '"$`\\%<>|&;'
# What collects these files into the databases that programs read: the folder it is told, and its Debian package.
_COLLECTORS = {
    "update-mime-database": ("mime", "shared-mime-info"),
    "update-desktop-database": ("applications", "desktop-file-utils"),
}


def data_home() -> Path:
    """Return the folder of a user's own shared data: $XDG_DATA_HOME, or ~/.local/share."""
    given = os.environ.get("XDG_DATA_HOME", "")
    return Path(given) if os.path.isabs(given) else Path.home() / ".local" / "share"


def check_path(command: str, imagemagick: bool) -> None:
    """Check that the path of a program can be written into the files of `install`, or of `delegates`.

    Raises ValueError if it cannot: it has a character that means something else there, or bytes that are no UTF-8.
    """
    refused = _NOT_FOR_IMAGEMAGICK if imagemagick else ""
    if found := [c for c in command if c in refused or c < " " or c == "\x7f" or "\ud800" <= c <= "\udfff"]:
        what = "delegates.xml" if imagemagick else "the files of a desktop"
        raise ValueError(
            f"the path of aec, {command!r}, has a {found[0]!r}, which {what} cannot hold: move aec elsewhere"
        )


def install(share: Path, command: str) -> tuple[list[Path], list[Path]]:
    """Write the files below `share`, over those of an earlier installation, but over no others.

    Args:
        share: the folder of shared data.
        command: the path of the program `aec`, as `check_path` allows. Desktops do not look into virtual environments.

    Returns:
        The paths of the files, and those of files of others, which serve as well, and stay as they are.

    Raises:
        OSError: one cannot be read. OutputError: one cannot be written.
    """
    written, others = [], []
    for name, place in PLACES.items():
        path = share / place
        if path.exists() and not _is_ours(path):
            others.append(path)
            continue
        text = (FILES / name).read_text()
        text = text.replace("TryExec=aec", "TryExec=" + command.replace("\\", "\\\\"))
        text = text.replace("\nExec=aec ", f"\nExec={_quoted(command)} ")
        first, _, rest = text.partition("\n")
        marked = f"{first}\n<!-- {MARK} -->\n{rest}" if name.endswith(".xml") else f"# {MARK}\n{text}"
        write_bytes(path, marked.encode(), force=True)
        written.append(path)
    return written, others


def danger(path: Path) -> str | None:
    """Say why not all users can, or should, run a program: who cannot reach it, or who can replace it.

    Args:
        path: of the program, or of what it needs. Links on the way, and where they lead to, are looked at too.

    Returns:
        A sentence on the first file or folder that is to blame; None if none is.

    Raises:
        OSError: it, or a folder above it, cannot be looked at.
    """
    for place in (path.absolute(), path.resolve()):
        for there in (*reversed(place.parents), place):
            status = there.stat()
            wanted = stat.S_IXOTH | (stat.S_IROTH if there == place else 0)
            writers = stat.S_IWOTH | (stat.S_IWGRP if status.st_gid else 0)
            if status.st_mode & wanted != wanted:
                return f"{there} is not open to them"
            if status.st_uid:
                return f"{there} belongs to {_user(status.st_uid)}, who can put another program there"
            if status.st_mode & writers and not status.st_mode & stat.S_ISVTX:
                return f"{there} can be written by others than root, who can put another program there"
    return None


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def delegates(command: str) -> str:
    """Return ImageMagick's delegates.xml, with the path of the program `aec`, as `check_path` allows."""
    text = (FILES / "delegates.xml").read_text()
    return text.replace('command="&quot;aec&quot;', f'command="&quot;{escape(command)}&quot;')


def uninstall(share: Path) -> tuple[list[Path], list[Path]]:
    """Remove the files of `install`.

    Returns:
        The paths of those that were there, and those of files of others, which stay.

    Raises:
        OSError: one cannot be read or removed.
    """
    there = [path for place in PLACES.values() if (path := share / place).is_file()]
    removed = [path for path in there if _is_ours(path)]
    for path in removed:
        path.unlink()
    return removed, [path for path in there if path not in removed]


def _is_ours(path: Path) -> bool:
    return path.is_file() and MARK.encode() in path.read_bytes()


def collect(share: Path, complain: Callable[[str], None]) -> None:
    """Have the databases made anew. What of it fails is told, and holds nothing up: the system does so in time too."""
    for program, (folder, package) in _COLLECTORS.items():
        if not (share / folder).is_dir():
            continue
        if (found := shutil.which(program)) is None:
            complain(f"{program} is not there (Debian: {package}): file managers learn of the change when it has run")
            continue
        done = subprocess.run([found, str(share / folder)], capture_output=True, text=True, errors="replace")
        if done.returncode:
            complain(f"{program}: {done.stderr.strip() or f'exit status {done.returncode}'}")


def _quoted(command: str) -> str:
    """Quote a path for the Exec key of a desktop entry, unless it is of harmless characters only."""
    command = command.replace("%", "%%")
    if not set(command) & set(" \t\n\"'\\><~|&;$*?#()`"):
        return command
    # Quoted for the command line, and then, as every string of such a file, with its backslashes doubled.
    inner = "".join(f"\\{c}" if c in '"`$\\' else c for c in command)
    return f'"{inner}"'.replace("\\", "\\\\")
