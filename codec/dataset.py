"""`from codec.dataset import AecDataset`, the name that users know."""

from .plugins.torch_dataset import AecDataset

__all__ = ["AecDataset"]
