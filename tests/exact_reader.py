"""The reader of exact pictures once more: slow, plain Python, written from FORMAT.md §9 and not from csrc."""

from collections import defaultdict
from functools import cache

ALONE = (
    "0:0,-1 0:-1,-1 0:1,-1 0:-2,0 0:0,-2 0:2,-1 0:-2,-1 0:1,-2 0:-1,-2 0:2,-2 0:-2,-2 0:-3,0 0:0,-3 0:3,-1 0:-3,-1 "
    "0:-1,-3 0:1,-3 0:3,-2 0:-3,-2"
)
ONE = (
    "0:0,-1 1:0,0 1:0,-1 1:1,0 1:0,1 0:-1,-1 0:1,-1 1:-1,-1 1:1,-1 1:-1,1 1:1,1 0:-2,0 0:0,-2 0:2,-1 1:-2,0 1:0,-2 "
    "1:2,0 1:0,2 1:2,-1 1:-2,-1 1:2,1 1:-2,1 0:-2,-1"
)
TWO = (
    "0:0,-1 1:0,0 2:0,0 1:0,-1 0:-1,-1 0:1,-1 2:0,-1 1:1,0 1:0,1 2:1,0 2:0,1 1:-1,-1 1:1,-1 1:-1,1 1:1,1 0:-2,0 "
    "0:0,-2 0:2,-1 1:-2,0 1:0,-2 1:2,0 1:0,2 1:2,-1 1:-2,-1 1:2,1 1:-2,1 2:-1,-1 2:1,-1 2:-1,1 2:1,1 2:-2,0 2:0,-2 "
    "2:2,0 2:0,2 2:2,-1 2:-2,-1 2:2,1 2:-2,1 0:-2,-1"
)
LISTS = [[(int(n[0]), *map(int, n[2:].split(","))) for n in names.split()] for names in (ALONE, ONE, TWO)]
COUNTS = [(19, 8), (23, 11), (39, 10)]


def clamp(v, m):
    return max(-m, min(m, v))


def level(energy):
    v = energy >> 2
    t = v.bit_length() - 1
    return v if v < 2 else 2 * t + (v >> t - 1 & 1)


def _tables():
    p = [2**62]
    for _ in range(4095):
        p.append(p[-1] * 2139111402 >> 31)
    logs = [max(k for k in range(178) if p[k] // 256 * (256 + i) >= 2**62) for i in range(256)]
    return [v // ((2**62 + v) // 2**32) for v in p], logs


UPPER, LOGS = _tables()


def A(t):  # noqa: N802 - as the specification names it
    return UPPER[min(t, 4095)] if t >= 0 else 2**32 - UPPER[min(-t, 4095)]


@cache
def ln(v):
    t = v.bit_length() - 1
    return (t * 11357 >> 6) + LOGS[v * 256 // 2**t % 256]


def stretch(a, b):
    return clamp(ln(a) - ln(b), 2047)


def squash(x):
    return A(-clamp(x, 2815)) >> 16


class Code:
    def __init__(self, data):
        self.data, self.at, self.range, self.code = data, 4, 2**32 - 1, int.from_bytes(data[:4], "big")

    def decide(self, p):
        bound = (self.range >> 16) * p
        if self.code < bound:
            self.range, made = bound, 1
        else:
            self.code, self.range, made = self.code - bound, self.range - bound, 0
        while self.range < 2**24:
            self.range *= 256
            self.code = (256 * self.code + self.data[self.at]) % 2**32
            self.at += 1
        return made


class Grid:
    """Numbers of a plane, with what counts as those outside of it."""

    def __init__(self, width, height, above):
        self.width, self.height, self.above, self.rows = width, height, above, []

    def get(self, x, y):
        if y < 0:
            return self.above
        if y == len(self.rows) - 1 and x < 0 and len(self.rows[y]) < self.width:
            return self.get(0, y - 1)
        row = self.rows[min(y, self.height - 1)]
        return row[max(0, min(x, self.width - 1))]


class PlaneReader:
    def __init__(self, code, bits, shift, error, others, width, height):
        self.code, self.bits, self.shift, self.n = code, bits, shift, error
        self.samples, self.errors = Grid(width, height, 2 ** (bits - 1)), Grid(width, height, 0)
        self.misses = [Grid(width, height, 0) for _ in range(12)]
        self.planes = [self.samples, *(o.samples for o in others)]
        self.other_errors = others[0].errors if others else None
        self.neighbours, self.counts = LISTS[len(others)], COUNTS[len(others)]
        self.sums = [defaultdict(lambda m=m: [[0] * (m + 1) for _ in range(m + 1)]) for m in self.counts]
        self.scales, self.counters = {}, {}
        self.weights = defaultdict(lambda: [22000, 22000, 22000, 6554, 6554, 0])
        for y in range(height):
            for grid in (self.samples, self.errors, *self.misses):
                grid.rows.append([])
            for x in range(width):
                self.sample(x, y, last=x == width - 1)

    def sample(self, x, y, last):
        def s(p, dx, dy):
            return self.planes[p].get(x + dx, y + dy)

        if x % 8 == 0:
            self.fits = [self.solve(k, x // 8) for k in range(2)]
            self.seen = []
        W, N = s(0, -1, 0), s(0, 0, -1)  # noqa: N806
        features = [2 * s(*n) - s(n[0], -1, 0) - s(n[0], 0, -1) for n in self.neighbours]
        made = [
            8 * (W + N) + (sum(w * v for w, v in zip(fit, features, strict=False)) >> 13) for fit in self.fits
        ] + self.simple(s)
        top = 16 * (2**self.bits - 1)
        made = [max(0, min(v, top)) for v in made]
        energies = [self.around(grid, x, y) for grid in self.misses]
        g = [256 * (min(energies) + 4) // (e + 4) for e in energies]
        weights = [v**4 >> 8 for v in g]
        mean = sum(w * v for w, v in zip(weights, made, strict=True)) // sum(weights)

        e = self.errors
        own = self.around(e, x, y)
        if self.other_errors:
            there = [abs(self.other_errors.get(x + dx, y + dy)) for dx, dy in ((0, 0), (1, 0), (0, 1))]
            q = 2 * there[0] + there[1] + there[2]
            energy, other = level(5 * own + 6 * q >> 3), level(2 * q)
        else:
            nw = s(0, -1, -1)
            energy, other = level(own), level(16 * (abs(W - nw) + abs(N - s(0, 1, -1)) + abs(N - nw)))
        near = level(4 * (abs(e.get(x - 1, y)) + abs(e.get(x, y - 1))))

        def kind(v):
            k = 0 if abs(v) < own >> 4 else 1 if abs(v) < own >> 2 else 2
            return 2 - k if v < 0 else 2 + k

        kinds = 5 * kind(e.get(x - 1, y)) + kind(e.get(x, y - 1))
        experts = [(made[0], (0, level(energies[0]), other)), (made[1], (1, level(energies[1]), other))]
        experts.append((mean, (2, energy, near)))
        u = self.decoded(mean >> 4, experts, energy, other, kinds, near)

        for centre, key in experts:
            scale, k = self.scale(key)
            new = scale + ((256 * abs(16 * u - centre) - scale) * (131072 // (2 * k + 3)) >> 16)
            self.scales[key] = new, min(k + 1, 200)
        self.samples.rows[y].append(u)
        e.rows[y].append(16 * u - mean)
        for grid, v in zip(self.misses, made, strict=True):
            grid.rows[y].append(abs(16 * u - v))
        self.seen.append((features, 2 * u - W - N))
        if x % 8 == 7 or last:
            self.learn(x // 8)

    @staticmethod
    def around(grid, x, y):
        places = ((-1, 0, 2), (0, -1, 2), (-1, -1, 1), (1, -1, 1), (-2, 0, 1), (0, -2, 1))
        return sum(w * abs(grid.get(x + dx, y + dy)) for dx, dy, w in places)

    def simple(self, s):
        W, N, NW, NE, WW, NN = (  # noqa: N806
            s(0, *d) for d in ((-1, 0), (0, -1), (-1, -1), (1, -1), (-2, 0), (0, -2))
        )
        if len(self.planes) == 1:
            middle = sorted((W, N, W + N - NW))[1]
            made = [16 * middle, 16 * (W + NE - N), 8 * (N + NE + W - WW), 16 * (2 * N - NN), 16 * W, 16 * N, 16 * NE]
            return [*made, 8 * (W + NE), 16 * (2 * W - WW), 4 * (3 * W + 3 * N - 2 * NW)]

        def R(p, dx, dy):  # noqa: N802
            return s(p, 0, 0) - s(p, dx, dy)

        w1, n1 = R(1, -1, 0), R(1, 0, -1)
        made = [8 * (W + N + w1 + n1), 16 * (W + w1), 16 * (N + n1), 16 * (NW + R(1, -1, -1)), 8 * (W + N)]
        made.append(8 * (W + N) + 16 * (w1 + n1))
        if len(self.planes) == 2:
            return [*made, 16 * (NE + R(1, 1, -1)), 16 * (W + N - NW), 16 * W, 16 * N]
        w2, n2 = R(2, -1, 0), R(2, 0, -1)
        return [*made, 8 * (W + N + w2 + n2), 16 * (W + w2), 16 * (N + n2), 16 * W + 8 * (w1 + w2)]

    def solve(self, k, block):
        m, sums = self.counts[k], self.sums[k]
        left, middle, right = sums[block - 1], sums[block], sums[block + 1]
        M = [[left[i][j] + 2 * middle[i][j] + right[i][j] for j in range(m + 1)] for i in range(m + 1)]  # noqa: N806
        h = max(0, max(max(0, M[i][i]).bit_length() for i in range(m)) - 28)
        V, F = [], []  # noqa: N806
        for j in range(m):
            V.append([0] * (m + 1))
            for i in range(j, m + 1):
                away = sum(F[t][j] * V[t][i] for t in range(j)) >> 16
                V[j][i] = clamp(clamp(M[i][j] >> h, 2**29) + 64 * (i == j) - away, 2**29)
            d = max(32, V[j][j])
            c = d.bit_length()
            r = 2 ** (c + 29) // d
            F.append([clamp(v * r >> c + 13, 2**21) for v in V[j]])
        w = [0] * m
        for i in range(m - 1, -1, -1):
            w[i] = clamp(F[i][m] - (sum(F[i][t] * w[t] for t in range(i + 1, m)) >> 16), 2**21)
        return w

    def learn(self, block):
        for m, decay, sums in zip(self.counts, (4, 1), self.sums, strict=True):
            S = sums[block]  # noqa: N806
            rows = [[clamp(v >> self.shift, 2047) for v in (*f[:m], target)] for f, target in self.seen]
            for i in range(m + 1):
                for j in range(m + 1):
                    S[i][j] += -(S[i][j] >> decay) + sum(z[i] * z[j] for z in rows)

    def scale(self, key):
        v = key[1] if key[1] < 2 else (2 + key[1] % 2) << key[1] // 2 - 1
        return self.scales.get(key, (128 * max(1, v), 0))

    def decoded(self, base, experts, energy, other, kinds, near):
        n, step, high = self.n, 2 * self.n + 1, 2**self.bits - 1
        most, least = (high - base + n) // step, (n - base) // step
        inverse = [109227 * 2**20 // (self.scale(key)[0] + 136) for _, key in experts]

        def G(k, q):  # noqa: N802
            return A((16 * (base + q * step - n) - 8 - experts[k][0]) * inverse[k] >> 20)

        def decide(node, said):
            keys = [("v", node, base + 1 >> max(0, self.bits - 8), energy > 8), ("e", node, energy, kinds)]
            seen = [self.counters.get(key, (32768, 0)) for key in keys]
            said = [*said, *(stretch(o, 65536 - o) * (512 * k // (2 * k + 3)) >> 8 for o, k in seen), 256]
            sets = [self.weights[node, i, at] for i, at in enumerate((energy, other, kinds, near))]
            sums = [sum(w * v for w, v in zip(one, said, strict=True)) for one in sets]
            made = self.code.decide(squash(sum(sums) >> 18))
            for one, total in zip(sets, sums, strict=True):
                wrong = 65536 * made - squash(total >> 16)
                one[:] = [clamp(w + (v * wrong * 10 + 2**17 >> 18), 2**22) for w, v in zip(one, said, strict=True)]
            for key, (o, k) in zip(keys, seen, strict=True):
                r = 65536 * 5 // (5 * k + 8)
                self.counters[key] = (o + ((65536 - o) * r >> 16) if made else o - (o * r >> 16)), min(k + 1, 60)
            return made

        up = 0
        if most >= 1:
            up = decide(0, [stretch(G(k, 1) + 512, 2**32 - G(k, 1) + 512) for k in range(3)])

        def H(k, m):  # noqa: N802
            return (0 if m is None else G(k, m)) if up else 0 if m is None else 2**32 - G(k, 2 - m)

        def at_least(node, a, c, z):
            return decide(node, [stretch(H(k, c) - H(k, z) + 512, H(k, a) - H(k, c) + 512) for k in range(3)])

        largest = most if up else 1 - least
        i, z = 0, None
        while 2 ** (i + 1) <= largest:
            if not at_least((1 if up else 17) + i, 2**i, 2 ** (i + 1), None):
                z = 2 ** (i + 1)
                break
            i += 1
        a, y = 2**i, 1
        for j in range(i - 1, -1, -1):
            k, bit = i - 1 - j, 0
            if a + 2**j <= largest:
                bit = at_least(33 + 4 * i + y if k < 2 else 97 + k, a, a + 2**j, z)
                a, z = (a + 2**j, z) if bit else (a, a + 2**j)
            y = 2 * y + bit
        return max(0, min(base + (a if up else 1 - a) * step, high))


def read(payload, width, height, channels, depth, error=0):
    """The samples [height][width][channels] of a tile, as lists; any other payload than a right one fails somehow."""
    colours, planes, tops = (1 if channels < 3 else 3), [], []
    heads = [payload[:2], payload[2:4]][: 1 + (channels > colours)]
    assert all(1 <= bits <= depth and shift <= max(0, bits - 10) for bits, shift in heads)
    code = Code(payload[2 * len(heads) :])
    for i in range(channels):
        bits, shift = heads[i >= colours]
        tops.append(2**bits - 1)
        others, n = (planes[::-1], error * tops[i] // (2**depth - 1)) if i < colours else ([], 0)
        planes.append(PlaneReader(code, bits, shift, n, others, width, height))
    assert code.code == 0 and code.at == len(code.data)
    order = [1, 0, 2, 3] if colours == 3 else [0, 1]
    whole = [(planes[order[c]].samples.rows, tops[order[c]]) for c in range(channels)]
    return [
        [[(plane[y][x] * (2**depth - 1) + top // 2) // top for plane, top in whole] for x in range(width)]
        for y in range(height)
    ]
