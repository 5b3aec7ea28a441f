"""What an effort means for a model: how often symbols are chosen anew."""

# By what a model is trained for and by effort. (A model for MS-SSIM alone is left as it is.)
ITERATIONS = {
    "mse": {1: 0, 2: 1, 3: 2, 4: 3, 5: 4, 6: 6, 7: 8, 8: 12, 9: 16},
    "eye": {1: 0, 2: 0, 3: 1, 4: 2, 5: 4, 6: 6, 7: 8, 8: 12, 9: 16},
    "ms-ssim": dict.fromkeys(range(1, 10), 0),
}


def iterations(tune: str, effort: int) -> int:
    """How often symbols are chosen anew at an effort, 1..9, by a model of a tune, one of TUNES."""
    return ITERATIONS[tune][effort]
