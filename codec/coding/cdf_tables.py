"""The integer CDF tables of the entropy coder (FORMAT §5), the cost of symbols in bits, and dead zones derived from it.

The tables are made once, when a model is exported, and stored in its file. They are those of Gaussians, corrected by
the symbols that a model really produces.
"""

import math

import numpy as np

INDEX_COUNT = 64
SCALE_MIN, SCALE_MAX = 0.11, 256.0
TOTAL = 1 << 14
MAX_LIMIT, MAX_RAW_BITS = 31, 8
ESCAPE_HEAD_BITS = 5
DEAD_ZONE_PER_BIT, MAX_DEAD_ZONE = 0.045, 0.25
GAUSSIAN_COUNT = 1000  # in a fitted table, the Gaussian weighs as much as this many observed symbols
REACH = 12  # Gaussians are summed up to 12 sigma; the probability beyond is 1e-32


def scales() -> np.ndarray:
    """Return the standard deviation of each index, [64] float64, with evenly spaced logarithms.

    Index 0 means "always zero" and has no table: at a standard deviation of 0.11, one symbol in 180,000 would not be 0.
    """
    return SCALE_MIN * np.exp(np.arange(INDEX_COUNT) * (math.log(SCALE_MAX / SCALE_MIN) / (INDEX_COUNT - 1)))


def gaussian_pmf(scale: float) -> np.ndarray:
    """Return the probabilities of a zero-mean Gaussian rounded to integers.

    Args:
        scale: its standard deviation.

    Returns:
        [2 n + 1] float64: P(s) for s = -n..n with n = ceil(12 * scale) + 1.
    """
    n = math.ceil(REACH * scale) + 1
    # Differences of upper tail probabilities keep their relative precision even where they are tiny.
    tail = np.array([0.5 * math.erfc((s - 0.5) / (scale * math.sqrt(2))) for s in range(1, n + 2)])
    side = tail[:-1] - tail[1:]
    return np.concatenate([side[::-1], [1 - 2 * tail[0]], side])


def allocate(probabilities: np.ndarray) -> np.ndarray:
    """Return the integer frequencies, each at least 1 and with sum 2^14, that cost the fewest bits.

    They minimise -sum(p * log2(f)). That cost is convex and separable. So the right sum is reached by always changing
    the frequency that costs least, and the result is optimal when no exchange of one unit improves it.

    Args:
        probabilities: [n] float64 with sum 1.

    Returns:
        [n] int64.
    """
    freqs = np.maximum(1, np.floor(probabilities * TOTAL)).astype(np.int64)
    while True:
        # Both use the same expression, so that the gain of adding a unit and the loss of removing it again are equal to
        # the last bit, and the loop cannot cycle.
        gain = probabilities * np.log1p(1 / freqs)
        loss = np.where(freqs > 1, probabilities * np.log1p(1 / np.maximum(freqs - 1, 1)), np.inf)
        up, down = int(gain.argmax()), int(loss.argmin())
        missing = TOTAL - int(freqs.sum())
        if missing == 0 and gain[up] <= loss[down]:
            return freqs
        if missing >= 0:
            freqs[up] += 1
        if missing <= 0:
            freqs[down] -= 1


def letters(pmf: np.ndarray, limit: int, raw_bits: int) -> tuple[np.ndarray, float]:
    """Map symbols to the letters of a table's alphabet: bins of 2^raw_bits symbols, and one escape for all others.

    Returns (probabilities of the letters, [2 * limit + 2], and the mean number of bits that follow a letter).
    """
    n = len(pmf) // 2
    s = np.arange(-n, n + 1)
    low, high = -limit << raw_bits, ((limit + 1) << raw_bits) - 1
    inside = (s >= low) & (s <= high)
    bins = np.bincount((s[inside] >> raw_bits) + limit, weights=pmf[inside], minlength=2 * limit + 1)
    escape = np.where(s > high, s - high, low - s)[~inside]  # e + 1
    extra = (pmf[~inside] * (ESCAPE_HEAD_BITS + np.floor(np.log2(escape)))).sum()
    return np.append(bins, pmf[~inside].sum()), float(extra + raw_bits * bins.sum())


def best_table(scale: float, pmf: np.ndarray) -> tuple[float, np.ndarray, int, int]:
    """Return (mean bits per symbol, frequencies, limit, raw bits) of the cheapest table for these probabilities.

    Among tables of equal cost it is the one with the shortest alphabet.
    """
    # Only bins of at most scale / 3 are tried, and only if the alphabet reaches 1.5 sigma. Others never win.
    fits = [k for k in range(MAX_RAW_BITS + 1) if 1 << k <= max(1, scale / 3) and (MAX_LIMIT << k) >= 1.5 * scale]
    best = (math.inf, np.zeros(0), 0, 0)
    for raw_bits in fits:
        reach = math.ceil(7 * scale / (1 << raw_bits))
        for limit in range(min(MAX_LIMIT, reach // 4), min(MAX_LIMIT, reach) + 1):
            p, extra = letters(pmf, limit, raw_bits)
            freqs = allocate(p)
            bits = extra + float((p * (14 - np.log2(freqs))).sum())
            if bits < best[0] - 1e-9:
                best = bits, freqs, limit, raw_bits
    return best


def gaussian_tables() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Make the tables of zero-mean Gaussians with the standard deviations `scales()`, rounded to integers.

    For each one, the limit and the number of raw bits are chosen that make the mean code length shortest, escapes
    included. The measured excess over the entropy H of the rounded Gaussian, which no code can beat, is (tests/
    test_tables.py has all 63):

        sigma      0.124    0.180    0.294    1.008    3.901    8.163    19.32    74.79    256.0
        H          0.001    0.054    0.524    2.115    4.015    5.077    6.319    8.272   10.047  bits
        excess     0.0001   0.0001   0.0001   0.0001   0.0001   0.0003   0.0026   0.0019   0.0011 bits

    Below sigma 8 the excess comes from the smallest frequency, 2^-14. Above, it comes from the raw bits, which code the
    2^k symbols of a bin as if they were equally probable.

    Returns:
        (freqs [64, 64] uint16, limits [64] uint8, raw_bits [64] uint8), as `rans.Tables` takes them.

    Source: the quantised Gaussian of Ballé et al. 2018 (arXiv:1802.01436), with 14-bit integer probabilities.
    """
    return _tables([gaussian_pmf(scale) for scale in scales()])


def fitted_tables(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Make tables from counted symbols. For each index, the counts are added to a Gaussian with a small weight.

    Measured with real files of 16 held-out pictures, compared with `gaussian_tables`: 1.0 % fewer bytes at q = 5,
    0.9 % at 25, 0.7 % at 40, 0.4 % at 80.

    Args:
        counts: [64, 2 n + 1]: for each index, how often the symbols -n..n occurred (`symbol_counts.symbol_counts`). The
            counts of s and -s are averaged.

    Returns:
        As `gaussian_tables`.
    """
    middle, pmfs = counts.shape[1] // 2, []
    for scale, seen in zip(scales(), counts + counts[:, ::-1], strict=True):
        pmf = gaussian_pmf(scale)
        n = min(len(pmf) // 2, middle)
        total = GAUSSIAN_COUNT * pmf
        total[len(pmf) // 2 - n : len(pmf) // 2 + n + 1] += seen[middle - n : middle + n + 1] / 2
        pmfs.append(total / total.sum())
    return _tables(pmfs)


def _tables(pmfs: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    freqs = np.zeros((INDEX_COUNT, 2 * MAX_LIMIT + 2), np.uint16)
    limits, raw_bits = np.zeros(INDEX_COUNT, np.uint8), np.zeros(INDEX_COUNT, np.uint8)
    for i, (scale, pmf) in enumerate(zip(scales(), pmfs, strict=True)):
        if i > 0:
            _, row, limits[i], raw_bits[i] = best_table(scale, pmf)
            freqs[i, : len(row)] = row
    return freqs, limits, raw_bits


def cost_bits(
    freqs: np.ndarray, limits: np.ndarray, raw_bits: np.ndarray, symbols: np.ndarray, indexes: np.ndarray
) -> np.ndarray:
    """Return the number of bits that an ideal coder would write for each symbol, escapes and raw bits included.

    Args:
        freqs, limits, raw_bits: the model's tables, as `rans.Tables` takes them.
        symbols: [N] integers.
        indexes: [N] integers, the table of each symbol. Symbols with index 0 cost nothing.

    Returns:
        [N] float64.
    """
    s, i = symbols.astype(np.int64), indexes.astype(np.int64)
    limit, k = limits.astype(np.int64)[i], raw_bits.astype(np.int64)[i]
    letter = (s >> k) + limit
    escaped = (letter < 0) | (letter > 2 * limit)
    letter[escaped] = 2 * limit[escaped] + 1
    bits = 14 - np.log2(freqs.astype(np.float64)[i, letter].clip(1)) + k
    distance = np.where(s > 0, s - ((limit + 1) << k) + 1, -s - (limit << k))[escaped]  # e + 1
    bits[escaped] += ESCAPE_HEAD_BITS + np.floor(np.log2(distance)) - k[escaped]
    return np.where(i > 0, bits, 0.0)
