"""Packages that a plain installation does not have, imported where they are needed or refused by name."""

import importlib
from types import ModuleType

from .errors import MissingPackageError


def need(module: str, for_what: str, extra: str = "train") -> ModuleType:
    """Import a module of a package that only `for_what` needs.

    Args:
        module: such as "torch" or "torch.utils.data".
        for_what: what the caller wanted, as messages name it.
        extra: the one of pyproject.toml that brings the package.

    Raises:
        MissingPackageError: the package is not installed, or it is and cannot be imported.
    """
    package = module.partition(".")[0]
    try:
        importlib.import_module(package)  # first, for errors tell which name was not found
        return importlib.import_module(module)
    except ImportError as e:
        absent = isinstance(e, ModuleNotFoundError) and e.name == package
        why = "which is not installed" if absent else f"which is installed, but cannot be imported ({e})"
        name = package.replace("_", "-")
        raise MissingPackageError(
            f"{for_what} needs {name}, {why}: pip install 'aec-codec[{extra}]' installs it"
        ) from e
