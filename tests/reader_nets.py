"""Models, latents and pixels, for tests/reader.py: FORMAT §7 and §8."""

import hashlib
import json

import numpy as np
from reader_basics import CorruptError, require
from reader_coder import Payload, Tables

TYPES = {"I8": "int8", "U8": "uint8", "I16": "int16", "U16": "uint16", "I32": "int32", "F32": "float32"}


class Model:
    """FORMAT §7: the configuration and the tensors of a model. `id` is what files name it with."""

    def __init__(self, data):
        size = int.from_bytes(data[:8], "little")
        described = json.loads(data[8 : 8 + size])
        text = described.pop("__metadata__")["aec_model"]
        self.configuration = json.loads(text)
        self.latents, self.steps = self.configuration["latents"], self.configuration["steps"]
        self.tensors = {}
        digest = hashlib.sha256(text.encode())
        for name in sorted(described):
            kind, shape = TYPES[described[name]["dtype"]], described[name]["shape"]
            begin, end = (8 + size + offset for offset in described[name]["data_offsets"])
            if name.startswith(("analysis.", "hyper_analysis.")):
                continue
            digest.update(f"\n{name} {kind} {shape}\n".encode() + data[begin:end])
            array = np.frombuffer(data[begin:end], np.dtype(kind).newbyteorder("<")).reshape(shape)
            self.tensors[name] = array if kind == "float32" else array.astype(np.int64)
        self.id = digest.digest()[:4]
        self.tables = Tables(*(self.tensors[f"tables.{name}"] for name in ("freqs", "limits", "raw_bits")))

    def __getitem__(self, name):
        return self.tensors[name]

    def by_quality(self, name, quality):
        """Row q - 1 of a table [100, C] for each position of `quality` [h, w]: [C, h, w]."""
        return self[name][quality - 1].transpose(2, 0, 1)


def load_model(path):
    """The model in a safetensors file."""
    with open(path, "rb") as file:
        return Model(file.read())


# ---------------------------------------------------------------------------------------------- FORMAT §8: stages


def shuffle(x, n):
    """FORMAT §8: channel n*n*c + n*i + j at (y, x) becomes channel c at (n*y + i, n*x + j)."""
    channels, height, width = x.shape
    x = x.reshape(channels // (n * n), n, n, height, width)
    return x.transpose(0, 3, 1, 4, 2).reshape(channels // (n * n), n * height, n * width)


def saturate(x):
    """To 16 bits."""
    return np.clip(x, -32768, 32767)


def rounded(x, shift):
    """x / 2^shift, rounded; `shift` may be an array, and may be 0 in places."""
    return x + ((1 << np.asarray(shift)) >> 1) >> shift


def products(weight, x):
    """The sums of w * x of a convolution, 1x1 or depthwise 3x3, without its bias."""
    if weight.shape[2:] == (1, 1):
        return np.einsum("oi,ihw->ohw", weight[:, :, 0, 0], x)
    height, width = x.shape[1:]
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    return sum(
        weight[:, 0, i, j, None, None] * padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3)
    )


class Net:
    """The stages of FORMAT §8 whose tensors' names begin with `prefix`."""

    def __init__(self, model, prefix):
        self.model, self.prefix = model, prefix

    def convolution(self, name, x):
        """(sum of w * x + b + r) >> shift, not yet saturated."""
        weight, bias, shift = (self.model[f"{self.prefix}{name}.{part}"] for part in ("weight", "bias", "shift"))
        return rounded(products(weight, x) + bias[:, None, None], shift[:, None, None])

    def stage(self, name, x, stored=0, leaky=False, vector=None, n=1):
        """A stage; `vector` is the name of its table and the qualities [h, w], `n` a Shuffle before it."""
        v = shuffle(self.convolution(name, x), n) + stored
        if vector:
            table, quality = vector
            v = v + self.model.by_quality(f"{self.prefix}{table}.table", quality)
        if leaky:
            v = np.where(v >= 0, v, v + 4 >> 3)
        return saturate(v)

    def block(self, name, x):
        """Block: five stages."""
        t = self.stage(f"{name}.space_in", x, leaky=True)
        t = self.stage(f"{name}.space", t)
        x = self.stage(f"{name}.space_out", t, stored=x)
        t = self.stage(f"{name}.mix_in", x, leaky=True)
        return self.stage(f"{name}.mix_out", t, stored=x)


# ---------------------------------------------------------------------------------------------- FORMAT §8: latents


def read_map(entry, head, tables):
    """FORMAT §8, Quality: the quality of each block [rows, columns]; all of them the header's without a map."""
    shape = -(-head.height // 64), -(-head.width // 64)
    if entry is None:
        return np.full(shape, head.quality)
    index = entry.data[0]
    require(index <= 63, CorruptError, "the index of the map")
    if index == 0:
        require(entry.size == 1, CorruptError, "a map of zeros with a payload")
        return np.full(shape, head.quality)
    payload = Payload([(entry.data[1:], True)], False, tables)
    change = payload.segment(np.full(shape[0] * shape[1], index)).reshape(shape)
    payload.finish()
    change[:, 0] = np.cumsum(change[:, 0])
    quality = head.quality + np.cumsum(change, axis=1)
    require(quality.min() >= 1 and quality.max() <= 100, CorruptError, "a quality of the map")
    return quality


def spread(blocks, n, height, width):
    """The numbers of blocks, at n x n positions each, cropped to [height, width]."""
    return np.repeat(np.repeat(blocks, n, axis=0), n, axis=1)[:height, :width]


def steps_of_latents(channels, height, width, steps):
    """FORMAT §8: the step of each latent, [channels, height, width]."""
    c, y, x = np.indices((channels, height, width))
    phase = (y ^ x) & 1 if steps == 2 else 2 * ((y ^ x) & 1) + (y & 1)
    return c % steps ^ phase


def passes_of(model, head):
    """FORMAT §8, Two passes: which channels each pass codes, as arrays of bool [M]."""
    if not head.first:
        return [np.ones(model.latents, bool)]
    order = np.argsort(model["entropy.step"][head.quality - 1], kind="stable")
    chosen = np.zeros(model.latents, bool)
    chosen[order[: head.first]] = True
    return [chosen, ~chosen]


def read_prior(model, net, payload, blocks, height, width):
    """FORMAT §8, Latents, 1 and 2: the hyperlatents, and the prior [N, height, width] that is made of them."""
    index = model.by_quality("entropy.hyper_index", blocks)
    z = payload.segment(index.reshape(-1)).reshape(index.shape)
    prior = net.stage("head", saturate(z * model.by_quality("entropy.hyper_step", blocks)), vector=("quality", blocks))
    prior = net.block("body4", prior)
    prior = net.block("body2", net.stage("up2", prior, n=2))
    prior = net.block("body1", net.stage("up1", prior, n=2))
    return prior[:, :height, :width]


def read_latents(model, head, payload, blocks, width, height):
    """FORMAT §8, Latents: those of a tile, [M, ceil(height/16), ceil(width/16)]; `blocks` are its blocks' qualities."""
    rows, columns = -(-height // 16), -(-width // 16)
    net = Net(model, "entropy.net.")
    quality = spread(blocks, 4, rows, columns)
    step = model.by_quality("entropy.step", quality)
    order = steps_of_latents(model.latents, rows, columns, model.steps)
    latents = np.zeros((model.latents, rows, columns), np.int64)
    if not payload.streams:
        return latents
    prior = read_prior(model, net, payload, blocks, rows, columns)
    for channels in passes_of(model, head):
        for k in range(model.steps):
            # Also what the first pass has read of step k and later ones is taken as 0.
            known = np.where(order < k, latents, 0) if k else None
            mean, index = predict(net, f"steps.{k}.", prior, known, quality)
            coded = (order == k) & channels[:, None, None]
            symbols = payload.segment(np.where(coded, index, 0)[order == k])
            values = np.zeros_like(latents)
            values[order == k] = symbols
            latents = np.where(coded, saturate(mean + values * step), latents)
    payload.finish()
    return latents


def predict(net, prefix, prior, latents, quality):
    """FORMAT §8, Latents, 3: the means and indices that step k gives all latents; `latents` is None for step 0."""
    vector = (prefix + "quality", quality)
    t = net.stage(prefix + "from_hyper", prior, vector=vector, leaky=latents is None)
    if latents is not None:
        t = net.stage(prefix + "from_latents", latents, stored=t, leaky=True)
    t = net.block(prefix + "body", t)
    mean = net.stage(prefix + "mean", t)
    head = net.stage(prefix + "index", t, vector=(prefix + "index_quality", quality))
    return mean, np.clip(head * 8 + 2048 >> 12, 0, 63)


# ---------------------------------------------------------------------------------------------- FORMAT §8: pixels


def means(x, k):
    """Means over squares of k x k of the last two axes, rounded."""
    height, width = x.shape[-2] // k, x.shape[-1] // k
    return rounded(x.reshape(*x.shape[:-2], height, k, width, k).sum(axis=(-3, -1)), 2 * (k.bit_length() - 1))


def branch(model, y, quality16, quality8):
    """FORMAT §8, Pixels: B, at the picture's full size."""
    net = Net(model, "synthesis.")
    x = net.stage("head16", y, vector=("quality16", quality16))
    for i in range(model.configuration["blocks16"]):
        x = net.block(f"body16.{i}", x)
    x = net.stage("tail16", x, n=2, vector=("quality8", quality8))
    for i in range(model.configuration["blocks8"]):
        x = net.block(f"body8.{i}", x)
    p = net.stage("tail8", x)
    gain = model.by_quality("synthesis.gain.table", quality8)
    return shuffle(np.clip(rounded(gain * p, int(model["synthesis.gain.shift"][0])), -(1 << 23), 1 << 23), 8)


def shortcut(model, y, k):
    """FORMAT §8, Pixels: S; for k > 1 that of the picture k times smaller."""
    weight, bias, shift = (model[f"synthesis.shortcut.{part}"] for part in ("weight", "bias", "shift"))
    # The channels of a colour are a square of 16 x 16: means over k x k of them make a smaller square.
    weight = means(weight.reshape(3, 16, 16, -1).transpose(0, 3, 1, 2), k).transpose(0, 2, 3, 1)
    weight = weight.reshape(-1, model.latents, 1, 1)
    bias = means(bias.reshape(3, 16, 16), k).reshape(-1)
    s = (products(weight, y) >> 8) + bias[:, None, None]
    return shuffle(np.clip(rounded(s, int(shift[0])), -(1 << 23), 1 << 23), 16 // k)


def without_branch(model, blocks, k):
    """FORMAT §8, Smaller pictures: whether the branch is left out."""
    return k in (4, 8) and model["levels"][blocks.max() - 1] >= {4: 32, 8: 10}[k]


def synthesise(model, head, latents, blocks, k):
    """FORMAT §8, Pixels: the samples [height, width, 1 or 3] from the latents of the whole picture."""
    rows, columns = latents.shape[1:]
    v = shortcut(model, latents, k)
    if not without_branch(model, blocks, k):
        quality16, quality8 = spread(blocks, 4, rows, columns), spread(blocks, 8, 2 * rows, 2 * columns)
        v = v + means(branch(model, latents, quality16, quality8), k)
    v = v[:, : -(-head.height // k), : -(-head.width // k)]
    factor = 257 if head.depth == 16 else 1
    if head.gray:
        samples = (factor * np.clip(v.sum(axis=0, keepdims=True), 0, 783360) + 1536) // 3072
    else:
        samples = (factor * np.clip(v, 0, 261120) + 512) >> 10
    return samples.transpose(1, 2, 0)
