"""The public name of the torch dataset: `from codec.dataset import AecDataset`."""

from .plugins.torch_dataset import AecDataset

__all__ = ["AecDataset"]
