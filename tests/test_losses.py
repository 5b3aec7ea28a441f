"""What training minimises is what the metrics say."""

import numpy as np
import photos
import pytest
import torch

from codec import metrics
from codec.coding.model_config import TUNES
from codec.nets import losses
from codec.picture.ssimulacra2 import ssimulacra2


def pictures(height=192, width=256):
    """Originals and noisy copies, uint8 [2, H, W, 3]."""
    images = np.stack([photos.photo(height, width, seed=i) for i in range(2)])
    noise = np.random.default_rng(0).integers(-12, 13, images.shape)
    return images, np.clip(images + noise * np.array([1, 2])[:, None, None, None], 0, 255).astype(np.uint8)


def as_tensors(*arrays):
    return [torch.from_numpy(a).permute(0, 3, 1, 2).float() / 255 for a in arrays]


def score(error: float) -> float:
    """SSIMULACRA 2 of its weighted sum of errors: the polynomial at the end of libjxl's."""
    error = 2.326765642916932 * error - 0.020884521182843837 * error**2 + 6.248496625763138e-05 * error**3
    return 100 - 10 * error**0.6276336467831387


@pytest.mark.parametrize(("height", "width"), [(192, 256), (161, 203), (40, 100)])
def test_the_twin_has_the_scores_of_ssimulacra2(height, width):
    images, noisy = pictures(height, width)
    x, x_hat = as_tensors(images, noisy)
    errors = losses.perceived_error(x_hat, x) / losses.SSIMULACRA2_WEIGHT
    for i, error in enumerate(errors.tolist()):
        assert score(error) == pytest.approx(ssimulacra2(images[i], noisy[i]), abs=0.02)


@pytest.mark.parametrize(("height", "width"), [(192, 256), (161, 203), (177, 300)])
def test_the_other_measures_are_those_of_the_metrics(height, width):
    pytest.importorskip("pytorch_msssim")
    images, noisy = pictures(height, width)
    x, x_hat = as_tensors(images, noisy)
    for i in range(2):
        structure = losses.structural_error(x_hat, x)[i].item() / losses.MS_SSIM_WEIGHT
        assert structure == pytest.approx(1 - metrics.ms_ssim(images[i], noisy[i]), rel=1e-3)
        mse = losses.squared_error(x_hat, x)[i].item()
        assert 10 * np.log10(255**2 / mse) == pytest.approx(metrics.psnr(images[i], noisy[i]), abs=1e-3)


@pytest.mark.parametrize("tune", TUNES)
def test_a_mixture_is_the_sum_of_its_shares_also_under_autocast(tune):
    x, x_hat = as_tensors(*pictures())
    shares = losses.SHARES[tune]
    assert sum(shares.values()) == pytest.approx(1)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = losses.distortion(x_hat.bfloat16(), x, shares)
    expected = sum(share * losses.MEASURES[name](x_hat.bfloat16().float(), x) for name, share in shares.items())
    assert mixed.dtype == torch.float32 and torch.allclose(mixed, expected)
    assert min(x.shape[2:]) >= losses.min_side(shares)


def test_gradients_point_from_the_decoded_picture_to_the_original():
    x, x_hat = as_tensors(*pictures())
    x_hat.requires_grad_()
    (slope,) = torch.autograd.grad(losses.perceived_error(x_hat, x).sum(), x_hat)
    with torch.no_grad():
        nearer = losses.perceived_error(x_hat - 1e-3 * slope / slope.abs().max(), x)
        assert (nearer < losses.perceived_error(x_hat, x)).all()
    assert (slope * (x_hat - x)).sum() > 0


def test_equal_pictures_have_no_error_and_finite_gradients():
    x, _ = as_tensors(*pictures(64, 64))
    for flat in (x, torch.zeros_like(x), torch.ones_like(x)):
        x_hat = flat.clone().requires_grad_()
        error = losses.perceived_error(x_hat, flat)
        (slope,) = torch.autograd.grad(error.sum(), x_hat)
        assert (error.abs() < 0.5).all() and slope.isfinite().all()


@pytest.mark.parametrize(("name", "side"), [("ms-ssim", 160), ("ssimulacra2", 7)])
def test_pictures_too_small_for_a_measure_are_refused(name, side):
    x = torch.zeros(1, 3, 200, side)
    with pytest.raises(ValueError, match=f"{name} needs sides of {side + 1} pixels, these are {side}x200"):
        losses.distortion(x, x, {name: 1.0})
