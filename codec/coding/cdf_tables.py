"""The coder's integer tables (FORMAT §5), of Gaussians or fitted to symbols, once, at export: they travel with the
weights. What symbols cost under such tables, and what follows for choosing them."""

import math

import numpy as np

INDEX_COUNT = 64
SCALE_MIN, SCALE_MAX = 0.11, 256.0
TOTAL = 1 << 14
MAX_LIMIT, MAX_RAW_BITS = 31, 8
ESCAPE_HEAD_BITS = 5
DEAD_ZONE_PER_BIT, MAX_DEAD_ZONE = 0.045, 0.25
GAUSSIAN_COUNT = 1000  # a Gaussian is worth as much as so many symbols that were seen
REACH = 12  # the tails of a table are summed up to 12 sigma: 1e-32 lies beyond


def scales() -> np.ndarray:
    """Standard deviation of each index, [64] float64: evenly spaced logarithms.

    Index 0, "surely zero", has no table: at 0.11 a symbol is not 0 once in 180,000.
    """
    return SCALE_MIN * np.exp(np.arange(INDEX_COUNT) * (math.log(SCALE_MAX / SCALE_MIN) / (INDEX_COUNT - 1)))


def gaussian_pmf(scale: float) -> np.ndarray:
    """P(s) of a zero-mean Gaussian rounded to integers, for s = -n..n with n = ceil(12 * scale) + 1."""
    n = math.ceil(REACH * scale) + 1
    # Upper tails, from which a difference keeps its relative precision however small it is.
    tail = np.array([0.5 * math.erfc((s - 0.5) / (scale * math.sqrt(2))) for s in range(1, n + 2)])
    side = tail[:-1] - tail[1:]
    return np.concatenate([side[::-1], [1 - 2 * tail[0]], side])


def allocate(probabilities: np.ndarray) -> np.ndarray:
    """The frequencies >= 1 with sum 2^14 that cost the fewest bits: argmin of -sum(p * log2(f)).

    The cost is convex and separable, so a sum is reached by always changing the cheapest frequency, and what no
    exchange of one unit improves is optimal.
    """
    freqs = np.maximum(1, np.floor(probabilities * TOTAL)).astype(np.int64)
    while True:
        # One expression for both, so that giving a unit and taking it back are equal to the last bit: no cycles.
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


def _letters(pmf: np.ndarray, limit: int, raw_bits: int) -> tuple[np.ndarray, float]:
    """Probabilities of the alphabet, [2 * limit + 2], and the mean number of bits that follow a letter."""
    n = len(pmf) // 2
    s = np.arange(-n, n + 1)
    low, high = -limit << raw_bits, ((limit + 1) << raw_bits) - 1
    inside = (s >= low) & (s <= high)
    bins = np.bincount((s[inside] >> raw_bits) + limit, weights=pmf[inside], minlength=2 * limit + 1)
    escape = np.where(s > high, s - high, low - s)[~inside]  # e + 1
    extra = (pmf[~inside] * (ESCAPE_HEAD_BITS + np.floor(np.log2(escape)))).sum()
    return np.append(bins, pmf[~inside].sum()), float(extra + raw_bits * bins.sum())


def _best_table(scale: float, pmf: np.ndarray) -> tuple[float, np.ndarray, int, int]:
    """(bits a symbol, frequencies, limit, raw bits): the cheapest, and the shortest alphabet among equals."""
    # Bins of at most scale / 3, but wide enough for the alphabet to reach 1.5 sigma; what is outside never wins.
    fits = [k for k in range(MAX_RAW_BITS + 1) if 1 << k <= max(1, scale / 3) and (MAX_LIMIT << k) >= 1.5 * scale]
    best = (math.inf, np.zeros(0), 0, 0)
    for raw_bits in fits:
        reach = math.ceil(7 * scale / (1 << raw_bits))
        for limit in range(min(MAX_LIMIT, reach // 4), min(MAX_LIMIT, reach) + 1):
            p, extra = _letters(pmf, limit, raw_bits)
            freqs = allocate(p)
            bits = extra + float((p * (14 - np.log2(freqs))).sum())
            if bits < best[0] - 1e-9:
                best = bits, freqs, limit, raw_bits
    return best


def gaussian_tables() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tables of zero-mean Gaussians with the deviations `scales()`, rounded to integers.

    For each, the limit and the raw bit count that make the mean code length the shortest, escapes included.
    Measured excess over the entropy H of the rounded Gaussian, which no code can beat (all 63: tests/test_tables.py):

        sigma      0.124    0.180    0.294    1.008    3.901    8.163    19.32    74.79    256.0
        H          0.001    0.054    0.524    2.115    4.015    5.077    6.319    8.272   10.047  bits
        excess     0.0001   0.0001   0.0001   0.0001   0.0001   0.0003   0.0026   0.0019   0.0011 bits

    Below sigma 8 it is the floor of 2^-14 under every frequency; above, the even split of a bin into 2^k symbols.

    Returns:
        (freqs [64, 64] uint16, limits [64] uint8, raw_bits [64] uint8), as rans.Tables takes them.

    Source: the quantised Gaussian of Ballé et al. 2018 (arXiv:1802.01436), with 14-bit integer probabilities.
    """
    return _tables([gaussian_pmf(scale) for scale in scales()])


def fitted_tables(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tables for symbols that come as often as these did: with every index its Gaussian, corrected by what was seen.

    Measured on 16 held-out pictures against Gaussians, real files: 1.0 % fewer bytes at q = 5, 0.9 at 25, 0.7 at 40,
    0.4 at 80.

    Args:
        counts: [64, 2 n + 1], of the symbols -n..n with each index (`symbol_counts.symbol_counts`). Signs are taken for
            alike.

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
            _, row, limits[i], raw_bits[i] = _best_table(scale, pmf)
            freqs[i, : len(row)] = row
    return freqs, limits, raw_bits


def cost_bits(
    freqs: np.ndarray, limits: np.ndarray, raw_bits: np.ndarray, symbols: np.ndarray, indexes: np.ndarray
) -> float:
    """Information, in bits, of symbols under tables: what an ideal coder would write, escapes and raw bits included."""
    coded = indexes > 0
    s, i = symbols[coded].astype(np.int64), indexes[coded].astype(np.int64)
    limit, k = limits.astype(np.int64)[i], raw_bits.astype(np.int64)[i]
    letter = (s >> k) + limit
    escaped = (letter < 0) | (letter > 2 * limit)
    letter[escaped] = 2 * limit[escaped] + 1
    distance = np.where(s > 0, s - ((limit + 1) << k) + 1, -s - (limit << k))[escaped]  # e + 1
    bits = (14 - np.log2(freqs.astype(np.float64)[i, letter])).sum() + k[~escaped].sum()
    return float(bits + (ESCAPE_HEAD_BITS + np.floor(np.log2(distance))).sum())


def dead_zones(freqs: np.ndarray, limits: np.ndarray, raw_bits: np.ndarray) -> np.ndarray:
    """By how much rate-distortion optimised quantisation widens the interval of a latent's 0: int16 [64], 2^-12 steps.

    With v the distance from the mean in steps, a symbol of 0 instead of 1 saves b = bits(1) - bits(0) and adds
    step^2 * (2 |v| - 1) to the squared error: of rate + lambda * error, 0 is the better up to
    |v| = 1/2 + b / (2 lambda step^2). At high rate the error is step^2 / 12 and the rate falls by log2(step), so that
    lambda step^2 = 6 / ln 2 = 8.66, and the zone is 0.058 b. Symbols of more than 1 gain little: they stay the nearest.

    Measured with model 286c2ccc, trained for nearest symbols, 12 held-out images, six qualities from 5 to 90: files
    5.6 % smaller at equal PSNR (BD-rate) with 0.045 b, at most 1/4; factors of 0.03 to 0.06 are within 0.4 %. A model
    that meets the zones in training has more of them: 3a603f91 10.0 % on Kodak.

    Args:
        freqs, limits, raw_bits: the model's tables, as rans.Tables takes them. Index 0 has none, its zone is 0.

    Source: Sullivan 1996, "Efficient scalar quantization of exponential and Laplacian random variables", from which
    the dead zones of H.264 and HEVC encoders come.
    """
    zero, one = (
        [cost_bits(freqs, limits, raw_bits, np.array([symbol]), np.array([index])) for index in range(INDEX_COUNT)]
        for symbol in (0, 1)
    )
    zones = (DEAD_ZONE_PER_BIT * np.subtract(one, zero)).clip(0, MAX_DEAD_ZONE)
    return np.rint(zones * 2**12).astype(np.int16)
