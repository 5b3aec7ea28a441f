"""Training: the loop, and everything that only training needs. All modules here need torch."""
