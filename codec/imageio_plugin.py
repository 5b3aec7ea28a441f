"""The public name of the imageio plugin. After `import codec.imageio_plugin`, imageio reads and writes .aec files."""

from .plugins.imageio import AecPlugin

__all__ = ["AecPlugin"]
