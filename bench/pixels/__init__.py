"""One SHA-256 for the pixels of each file, whatever decodes it: `python -m bench.pixels`."""
