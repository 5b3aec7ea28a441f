"""Training: the loop, and what only training needs. torch."""
