"""Comparing many pictures by their features (`codec.features`): near-duplicates and nearest neighbours.

The similarity of two pictures is the product of their features, 1 at most. All pairs are compared, a block of them at
a time, so that memory grows with the number of pictures and not with its square.
"""

from dataclasses import dataclass

import numpy as np

# From this similarity on, two pictures are called near-duplicates. Of 767 pictures like those of the training, and 17
# copies of 67 of them, no two that show different things were above 0.87 (bench/results/similar.md has other pictures).
NEAR = 0.9
_ROUNDING = 1e-6  # of similarities: that of a picture with itself may be so much below 1
_ROWS, _COLUMNS = 1024, 4096  # pictures on either side of a block


@dataclass(frozen=True)
class Member:
    """A picture in a group of near-duplicates.

    Args:
        index: of the picture.
        nearest: index of the picture that is most similar to it.
        similarity: of the two.
    """

    index: int
    nearest: int
    similarity: float


def near_duplicates(features: np.ndarray, threshold: float = NEAR) -> list[list[Member]]:
    """Find the groups of near-duplicates.

    Two pictures whose similarity is at least the threshold are in one group. So two pictures of a group may be less
    similar than that, if others lie between them.

    Args:
        features: float32 [N, D], of length 1 each.
        threshold: -1..1.

    Returns:
        The groups of two or more pictures, each in the order of the indexes, and in the order of their first pictures.
    """
    n = len(features)
    group, best, nearest = np.arange(n), np.full(n, -np.inf, np.float32), np.zeros(n, np.int64)
    for top in range(0, n, _ROWS):
        for left in range(top, n, _COLUMNS):
            rows, columns = features[top : top + _ROWS], features[left : left + _COLUMNS]
            block = rows @ columns.T
            if left == top:  # each pair once, and no picture with itself
                block[np.tri(*block.shape) > 0] = -np.inf
            near = block >= threshold - _ROUNDING
            if not near.any():
                continue
            # A picture's earlier pairs come first, so that of equal ones the first counts.
            for found, at, other in ((block.T, left, top), (block, top, left)):
                where = found.argmax(1)
                value = found[np.arange(len(found)), where]
                here = slice(at, at + len(found))
                better = value > best[here]
                best[here][better], nearest[here][better] = value[better], where[better] + other
            a, b = np.nonzero(near)
            group = _joined(group, a + top, b + left)
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    return [
        [Member(int(i), int(nearest[i]), min(1.0, float(best[i]))) for i in members]
        for members in np.split(order, starts[1:])
        if len(members) > 1
    ]


def _joined(group: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Join the groups of pictures a[i] and b[i], for all i. A group is named by its first picture.

    Args:
        group: the group of each picture, [N].
    """
    while (apart := group[a] != group[b]).any():
        a, b = a[apart], b[apart]
        into = np.arange(len(group))
        np.minimum.at(into, np.maximum(group[a], group[b]), np.minimum(group[a], group[b]))
        while (further := into[into] != into).any():
            into[further] = into[into[further]]
        group = into[group]
    return group


def nearest_neighbours(features: np.ndarray, query: np.ndarray, k: int) -> list[tuple[int, float]]:
    """Return the k most similar pictures, or all if there are fewer: (index, similarity), the most similar first.

    Args:
        features: float32 [N, D], of length 1 each.
        query: float32 [D], of length 1.
    """
    similarity = features @ query
    order = np.argsort(-similarity, kind="stable")[:k]
    return [(int(i), min(1.0, float(similarity[i]))) for i in order]
