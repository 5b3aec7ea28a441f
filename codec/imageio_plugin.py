"""`import codec.imageio_plugin`, and imageio knows .aec."""

from .plugins.imageio import AecPlugin

__all__ = ["AecPlugin"]
