"""Import of optional packages, which a plain installation does not have, with a clear error if one is missing."""

import importlib
from types import ModuleType

from .errors import MissingPackageError


def need(module: str, for_what: str, extra: str = "train") -> ModuleType:
    """Import and return a module of an optional package.

    Args:
        module: full name of the module, such as "torch" or "torch.utils.data".
        for_what: the feature that needs the package; the error message begins with it.
        extra: the extra in pyproject.toml that installs the package.

    Raises:
        MissingPackageError: the package is not installed, or it is installed but cannot be imported.
    """
    package = module.partition(".")[0]
    try:
        # The package alone is imported first, so that a missing package can be told from a missing submodule.
        importlib.import_module(package)
        return importlib.import_module(module)
    except ImportError as e:
        absent = isinstance(e, ModuleNotFoundError) and e.name == package
        why = "which is not installed" if absent else f"which is installed, but cannot be imported ({e})"
        name = package.replace("_", "-")
        raise MissingPackageError(
            f"{for_what} needs {name}, {why}: pip install 'aec-codec[{extra}]' installs it"
        ) from e
