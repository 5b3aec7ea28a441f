"""The networks in floating point: the transforms pixels -> latents -> pixels, and the entropy model of the latents.

Latents and hyperlatents are quantised in the same way: value = mean + symbol * step. The step depends on the channel
and the quality. For latents, the mean and the scale index of the symbol's Gaussian come from the entropy net; for
hyperlatents, the mean is 0 and the index is a learned table.

Sources: hyperprior, Balle 2018 (arXiv:1802.01436); means and context, Minnen 2018 (arXiv:1809.02736); mixed
quantisation, Minnen & Singh 2020 (arXiv:2007.08739); one model for all rates by gain vectors, Cui 2021
(arXiv:2003.02012).
"""

import copy
import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..coding.cdf_tables import DEAD_ZONE_PER_BIT, INDEX_COUNT, MAX_DEAD_ZONE, SCALE_MAX, SCALE_MIN
from ..coding.model_config import KNOTS, LAMBDA_RANGE, LATENT_STRIDE, MAX_LEVEL, Config
from .coding_order import Corners
from .layers import (
    SATURATION,
    Add,
    AddVector,
    Block,
    FreeAdd,
    Leaky,
    Pointwise,
    QualityVector,
    blocks,
    exact_convolutions,
    saturate,
)

BRANCH_GAIN = 0.3  # initial gain of the transforms' branches, relative to the quantisation step or to the error
# The layer that predicts indices works in units of 8 indices, so that 0..63 fits into the nets' range of +-8.
INDEX_UNIT = 8
LOG_SCALE_STEP = math.log(SCALE_MAX / SCALE_MIN) / (INDEX_COUNT - 1)


def linear(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """Run a shortcut in float32 even under autocast: bf16 is coarser than the smallest quantisation step."""
    with torch.autocast(x.device.type, enabled=False), exact_convolutions:
        return conv(x.float())


class Analysis(nn.Module):
    """Pixels [B, 3, H, W] in [-0.5, 0.5] and levels q float [B] -> latents [B, M, H/16, W/16].

    H and W are multiples of 16.

    The latents are the sum of a linear transform of 16x16 blocks (the shortcut) and a nonlinear branch of depthwise
    blocks with a larger receptive field. The branch is multiplied by a gain for each channel and level, which starts in
    proportion to the quantisation step. Without the gain, the best quality, which tolerates the least noise, would
    suppress the branch for all qualities (bench/ablations.md).
    """

    def __init__(self, c: Config):
        super().__init__()
        self.shortcut = Pointwise(3 * LATENT_STRIDE**2, c.latents)
        self.head8 = Pointwise(3 * 64, c.wide8)
        self.body8 = blocks(c.wide8, c.blocks8)
        self.head16 = Pointwise(4 * c.wide8, c.wide16)
        self.body16 = blocks(c.wide16, c.blocks16)
        self.tail = Pointwise(c.wide16, c.latents)
        self.quality8, self.quality16 = QualityVector(c.wide8), QualityVector(c.wide16)
        self.add = FreeAdd()
        self.log_gain = QualityVector(c.latents)

    def silence_branch(self) -> None:
        """Set the last layer of the branch to zero, so that training starts from the linear shortcut alone."""
        nn.init.zeros_(self.tail.weight)
        nn.init.zeros_(self.tail.bias)

    def forward(self, x: Tensor, q: Tensor) -> Tensor:
        h = self.body8(self.add(self.head8(F.pixel_unshuffle(x, 8)), self.quality8(q)))
        h = self.body16(self.add(self.head16(F.pixel_unshuffle(h, 2)), self.quality16(q)))
        return linear(self.shortcut, F.pixel_unshuffle(x, LATENT_STRIDE)) + self.log_gain(q).exp() * self.tail(h)


class Synthesis(nn.Module):
    """The counterpart of `Analysis`: latents [B, M, h, w] and levels q float [B] -> pixels [B, 3, 16 h, 16 w].

    Its gain starts in proportion to the error at each level. The branch reads the latents multiplied by `whiten` [M],
    which gives each channel a standard deviation of 1. Otherwise the strongest channels would dominate.
    """

    whiten: Tensor

    def __init__(self, c: Config):
        super().__init__()
        self.shortcut = Pointwise(c.latents, 3 * LATENT_STRIDE**2)
        self.head16 = Pointwise(c.latents, c.wide16)
        self.body16 = blocks(c.wide16, c.blocks16)
        self.tail16 = Pointwise(c.wide16, 4 * c.wide8)
        self.body8 = blocks(c.wide8, c.blocks8)
        self.tail8 = Pointwise(c.wide8, 3 * 64)
        self.quality16, self.quality8 = QualityVector(c.wide16), QualityVector(c.wide8)
        self.add = FreeAdd()
        self.log_gain = QualityVector(3 * 64)
        self.register_buffer("whiten", torch.ones(c.latents))

    def silence_branch(self) -> None:
        """Set the last layer of the branch to zero, as in `Analysis`."""
        nn.init.zeros_(self.tail8.weight)
        nn.init.zeros_(self.tail8.bias)

    def forward(self, y: Tensor, q: Tensor) -> Tensor:
        h = F.pixel_shuffle(self.log_gain(q).exp() * self.tail8(self.features(y, q)), 8)
        return F.pixel_shuffle(linear(self.shortcut, y), LATENT_STRIDE) + h

    def features(self, y: Tensor, q: Tensor) -> Tensor:
        """Compute the branch up to the input of its last layer: [B, wide8, 2h, 2w]."""
        h = self.body16(self.add(self.head16(self.whiten[:, None, None] * y), self.quality16(q)))
        return self.body8(self.add(F.pixel_shuffle(self.tail16(h), 2), self.quality8(q)))


class HyperAnalysis(nn.Module):
    """Latents [B, M, h, w], h and w multiples of 4, and levels q float [B] -> hyperlatents [B, Z, h/4, w/4]."""

    def __init__(self, c: Config):
        super().__init__()
        n = c.context
        self.head = Pointwise(c.latents, n)
        self.quality = QualityVector(n)
        self.add = FreeAdd()
        self.body = Block(n)
        self.down2 = Pointwise(4 * n, n)
        self.body2 = Block(n)
        self.down4 = Pointwise(4 * n, n)
        self.body4 = Block(n)
        self.tail = Pointwise(n, c.hyper)

    def forward(self, y: Tensor, q: Tensor) -> Tensor:
        h = self.body(self.add(self.head(y), self.quality(q)))
        h = self.body2(self.down2(F.pixel_unshuffle(h, 2)))
        h = self.body4(self.down4(F.pixel_unshuffle(h, 2)))
        return self.tail(h)


class ContextStep(nn.Module):
    """One context step: predicts mean and index of the next latents from the hyperprior and the latents so far."""

    def __init__(self, c: Config, sees_latents: bool):
        super().__init__()
        n = c.context
        self.from_hyper = Pointwise(n, n)
        self.from_latents = Pointwise(c.latents, n) if sees_latents else None
        self.quality = QualityVector(n)
        self.add_vector = AddVector()
        self.add = Add()
        self.act = Leaky()
        self.body = Block(n, add=Add)
        self.mean = Pointwise(n, c.latents)
        self.index = Pointwise(n, c.latents)
        self.index_quality = QualityVector(c.latents)
        for head in (self.mean, self.index):
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)

    def forward(self, prior: Tensor, y_hat: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
        h = self.features(prior, None if self.from_latents is None else self.from_latents(y_hat), q)
        return self.mean(h), self.add_vector(self.index(h), self.index_quality(q))

    def features(self, prior: Tensor, from_latents: Tensor | None, q: Tensor) -> Tensor:
        """Compute the input of the two output layers, [B, N, h, w].

        `from_latents` is the output of the layer of that name; it is None in the first step.
        """
        h = self.add_vector(self.from_hyper(prior), self.quality(q))
        if from_latents is not None:
            h = self.add(h, from_latents)
        return self.body(self.act(h))

    def of_its_latents(
        self, k: int, prior: Tensor, coded: list[Tensor], q: Tensor, corners: Corners
    ) -> tuple[Tensor, Tensor]:
        """Compute what `forward` does, but only for the latents that this step codes. For training only.

        The integer twins cannot use this method, because it reads the weights of float layers directly.

        Args:
            k: number of this step.
            coded: the latents of the previous steps, arranged as by `Corners.latents_of_steps`.

        Returns:
            (mean, index / INDEX_UNIT), arranged in the same way.
        """
        from_latents = None
        if self.from_latents is not None:
            weight, bias = self.from_latents.weight[:, :, 0, 0], self.from_latents.bias[:, None, None]
            from_latents = corners.join(torch.cat(coded, 2) @ corners.rows(weight.T, range(k))) + bias
        h = corners.split(self.features(prior, from_latents, q))
        mean, index = (
            h @ corners.rows(head.weight[:, :, 0, 0], [k]).mT + corners.rows(head.bias[:, None], [k]).mT
            for head in (self.mean, self.index)
        )
        return mean, self.add_vector(index, corners.of_samples(self.index_quality(q), k))


class EntropyNet(nn.Module):
    """The hyper-synthesis and the context steps, which predict means and table indexes. Exported to integers."""

    steps: Any  # a ModuleList of ContextStep, for which torch has no type

    def __init__(self, c: Config):
        super().__init__()
        n = c.context
        self.head = Pointwise(c.hyper, n)
        self.quality = QualityVector(n)
        self.add_vector = AddVector()
        self.body4 = Block(n, add=Add)
        self.up2 = Pointwise(n, 4 * n)
        self.body2 = Block(n, add=Add)
        self.up1 = Pointwise(n, 4 * n)
        self.body1 = Block(n, add=Add)
        self.steps = nn.ModuleList(ContextStep(c, sees_latents=k > 0) for k in range(c.steps))

    def prior(self, z_hat: Tensor, q: Tensor, height: int, width: int) -> Tensor:
        """Hyperlatents [B, Z, h/4, w/4] -> features [B, N, height, width], cropped to the latents' size."""
        h = self.body4(self.add_vector(self.head(z_hat), self.quality(q)))
        h = self.body2(F.pixel_shuffle(self.up2(h), 2))
        h = self.body1(F.pixel_shuffle(self.up1(h), 2))
        return h[:, :, :height, :width]

    def step(self, k: int, prior: Tensor, y_hat: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
        """Predict mean and index / INDEX_UNIT of every latent, [B, M, h, w] each. Only those of step k are of use."""
        return self.steps[k](prior, y_hat, q)

    def step_alone(
        self, k: int, prior: Tensor, coded: list[Tensor], q: Tensor, corners: Corners
    ) -> tuple[Tensor, Tensor]:
        """Predict only the latents of step k, as `ContextStep.of_its_latents` does."""
        return self.steps[k].of_its_latents(k, prior, coded, q, corners)


class _Bound(torch.autograd.Function):
    """A clamp that also passes the gradient outside the range, if it points back into the range."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, low: float, high: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.range = low, high
        return x.clamp(low, high)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        low, high = ctx.range
        keep = ((x >= low) | (g < 0)) & ((x <= high) | (g > 0))
        return g * keep, None, None


def bits_of(symbols: Tensor, index: Tensor) -> Tensor:
    """Return the cost in bits of symbols under zero-mean Gaussians, elementwise.

    Args:
        symbols: float, any shape; integers, or values with uniform noise.
        index: float, of the same shape: the scale index of the Gaussian, not necessarily an integer.
    """
    scale = SCALE_MIN * torch.exp(LOG_SCALE_STEP * _Bound.apply(index.float(), 0.0, INDEX_COUNT - 1.0))
    v = symbols.float().abs()
    k = math.sqrt(0.5) / scale
    p = 0.5 * (torch.erfc((v - 0.5) * k) - torch.erfc((v + 0.5) * k))
    return -torch.log2(_Bound.apply(p, 2.0**-24, 1.0))


def dead_zones() -> Tensor:
    """Return the dead zones as in csrc/model/model.cpp, but for ideal tables, in quantisation steps: float [64]."""
    index = torch.arange(float(INDEX_COUNT))
    saved = bits_of(torch.ones_like(index), index) - bits_of(torch.zeros_like(index), index)
    return (DEAD_ZONE_PER_BIT * saved).clamp(0, MAX_DEAD_ZONE)


def _round_error(v: Tensor) -> Tensor:
    """Return round(v) - v without a gradient. Adding it to v is the straight-through estimator."""
    return (v.round() - v).detach()


def _uniform_like(x: Tensor, axis: int) -> Tensor:
    return torch.rand_like(x)


class Model(nn.Module):
    """All networks in floating point, as they are trained.

    Attributes:
        uniform_like: draws the noise of training, in 0..1, of the shape of a tensor whose axis `axis` is (or begins
            with) that of the pictures. Where several processes share a batch, each one's noise must be its part of
            the batch's.
    """

    dead_zones: Tensor

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.uniform_like: Callable[[Tensor, int], Tensor] = _uniform_like
        self.analysis = Analysis(config)
        self.synthesis = Synthesis(config)
        self.hyper_analysis = HyperAnalysis(config)
        self.entropy = EntropyNet(config)
        self.log_step = QualityVector(config.latents)
        self.hyper_log_step = QualityVector(config.hyper, math.log(0.25))
        self.hyper_index = QualityVector(config.hyper, math.log(2 / SCALE_MIN) / LOG_SCALE_STEP / INDEX_UNIT)
        self.register_buffer("dead_zones", dead_zones(), persistent=False)

    @torch.no_grad()
    def init_from_patches(self, patches: Tensor, first: int = 0) -> None:
        """Initialise the model as a working transform codec: shortcuts from PCA, steps and indices from the spectrum.

        The best linear autoencoder is PCA. Channels are scaled by their standard deviation^-1/2, which is halfway to
        whitening. Without scaling, coefficients would span a ratio of 250, too much for 16-bit weights to mix them.
        With whitening, the peaks of weak channels would be clipped.

        Args:
            patches: float [n, 768], 16x16 patches in [-0.5, 0.5], in the order of pixel_unshuffle; n >> 768.
            first: the latents before this one are left as they are. The others are initialised by PCA of the component
                that is orthogonal to everything the old latents' shortcut can synthesise. (If their branch has learned
                to add something there, training must unlearn it.)
        """
        c, new = self.config, slice(first, None)
        known, _ = torch.linalg.qr(self.synthesis.shortcut.weight[:, :first, 0, 0].double())
        patches = patches.double()
        patches = patches - patches @ known @ known.T
        value, vector = torch.linalg.eigh(patches.T @ patches / len(patches))
        count = c.latents - first
        deviation = value.flip(0)[:count].clamp(min=1e-8).sqrt()
        basis = vector.flip(1)[:, :count]
        scale = deviation.rsqrt()
        self.analysis.shortcut.weight[new] = (basis * scale).T[:, :, None, None].float()
        self.synthesis.shortcut.weight[:, new] = (basis / scale)[:, :, None, None].float()
        for layer in (self.analysis.tail.weight, self.analysis.tail.bias):
            nn.init.zeros_(layer[new])
        bias = self.synthesis.shortcut.bias
        if not first:
            nn.init.zeros_(bias)
        # The synthesis adds its bias in any case, so its projection is subtracted here.
        self.analysis.shortcut.bias[new] = -scale.float() * (basis.T.float() @ bias)
        self.synthesis.whiten[new] = deviation.rsqrt().float()
        # At high rates, d(bits) = -lambda d(distortion) holds for step^2 = 18 log2(e) / (lambda 255^2), in an
        # orthonormal basis.
        low, high = (math.log(v) for v in LAMBDA_RANGE)
        lam = torch.linspace(low, high, KNOTS, dtype=torch.float64).exp()
        step = (18 * math.log2(math.e) / lam).sqrt()[:, None] / 255 * scale
        self.log_step.knots[:, new] = step.log().float()
        self.analysis.log_gain.knots[:, new] = (BRANCH_GAIN * step).log().float()
        index = ((deviation * scale / step).log() - math.log(SCALE_MIN)) / LOG_SCALE_STEP
        for s in self.entropy.steps:
            s.index_quality.knots[:, new] = (index.clamp(1, INDEX_COUNT - 2) / INDEX_UNIT).float()
        if first:
            return
        self.synthesis.silence_branch()
        self.analysis.head8.weight.mul_(4)  # pixels in -0.5..0.5 have a standard deviation of about 1/4
        # The gain follows the error of trained models: 26.5 dB at the lowest lambda, 41.5 dB at the highest.
        self.synthesis.log_gain.knots.copy_((BRANCH_GAIN * 0.0077 * lam**-0.25).log()[:, None].expand(-1, 3 * 64))

    @torch.no_grad()
    def with_hyper_steps_in_range(self) -> "Model":
        """Return a copy that computes the same, with quantisation steps of all hyperlatents below SATURATION.

        Training gives hyperlatents that carry little information a step above SATURATION, so that their symbols are
        always 0. The integer step cannot be that large. With a smaller step the symbols would not be 0 any more, and
        cost up to 2 % of a file. But the scale of a hyperlatent is arbitrary, so the hyperlatent and its step are
        scaled down by a power of two. (Only a hyperlatent that saturated before changes: it saturates later.)
        """
        model = copy.deepcopy(self)
        ends = model.hyper_log_step.knots, model.hyper_log_step(torch.tensor([MAX_LEVEL]))[:, :, 0, 0]
        largest = torch.cat(ends).max(0).values.exp()
        scale = torch.exp2(torch.log2(0.999 * SATURATION / largest).floor().clamp(max=0))
        model.hyper_log_step.knots.add_(scale.log())
        model.hyper_analysis.tail.weight.mul_(scale[:, None, None, None])
        model.hyper_analysis.tail.bias.mul_(scale)
        model.entropy.head.weight.div_(scale[:, None, None])
        return model

    def forward(self, x: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
        """Run all networks, for training.

        The pictures are reconstructed from the symbols that an encoder would choose, dead zones included, with a
        straight-through gradient. The predicted scales get their gradient from the rate of those symbols. In training,
        latents and means get their gradient from the rate with uniform noise instead (arXiv:2007.08739), because the
        rate of rounded symbols has no gradient around 0.

        Args:
            x: float [B, 3, H, W] in [0, 1]; H and W are multiples of 64.
            q: the level of each picture, float [B], 1..MAX_LEVEL.

        Returns:
            (x_hat float [B, 3, H, W], bits float32 [B] of the hyperlatents and latents).
        """
        y = saturate(self.analysis(x - 0.5, q).float())
        z = saturate(self.hyper_analysis(y, q).float())
        z_step = self.hyper_log_step(q).exp()
        z_hat = z + z_step * _round_error(z / z_step)
        z_noise = self.uniform_like(z, 0) - 0.5 if self.training else _round_error(z / z_step)
        bits = bits_of(z / z_step + z_noise, INDEX_UNIT * self.hyper_index(q)).sum((1, 2, 3))

        prior = self.entropy.prior(z_hat, q, *y.shape[2:])
        y_hat, rate = self._code(y, prior, q)
        return self.synthesis(y_hat, q) + 0.5, bits + rate

    def _code(self, y: Tensor, prior: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
        """Quantise latents [B, M, h, w]. Returns the latents as the decoder gets them, and their cost in bits [B]."""
        corners, all_steps = Corners(self.config.steps, y.shape), self.log_step(q).exp()
        coded: list[Tensor] = []
        bits = y.new_zeros(len(y))
        for k, value in enumerate(corners.latents_of_steps(y)):
            step = corners.of_samples(all_steps, k)
            mean, index = self.entropy.step_alone(k, prior, coded, q, corners)
            v, index = (value - saturate(mean.float())) / step, INDEX_UNIT * index.float()
            s = self._quantise(v.detach(), index.detach())
            coded.append(value + step * (s - v.detach()))
            bits = bits + corners.sums(self._rate(v, s, index))
        return corners.latents(coded), bits

    def _rate(self, v: Tensor, s: Tensor, index: Tensor) -> Tensor:
        """Return the bits of the symbols s chosen for v, elementwise. `forward` explains the gradients in training."""
        rate = bits_of(s, index)
        if self.training:
            noisy = bits_of(v + self.uniform_like(v, 1) - 0.5, index.detach())
            rate = rate + noisy - noisy.detach()
        return rate

    def _quantise(self, v: Tensor, index: Tensor) -> Tensor:
        """Return the symbols of latents that are `v` steps away from their means: the nearest, or 0 in a dead zone."""
        zone = self.dead_zones[index.round().clamp(0, INDEX_COUNT - 1).long()]
        return v.round().masked_fill_(v.abs() <= 0.5 + zone, 0.0)
