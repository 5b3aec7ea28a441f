"""A codec for small pictures of one size: integer nets, their file and their coder (torch-free)."""
