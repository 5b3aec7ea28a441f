"""What aec promises, and commands that measure whether each promise is kept. docs/promises.md tells about both."""
