"""The CUDA entropy nets against the other arithmetics, integer for integer: on a GPU, or emulated without one."""

import photos
import pytest
import torch
from test_nets import SMALLEST, assert_equal, decode, encode, extreme_net, values_for

from codec.coding import model_search, payloads, segment_walk
from codec.coding.model_config import Config
from codec.coding.model_tensors import HIGH, LOW
from codec.coding.rans_cuda import DEVICE_TYPE
from codec.coding.segment_walk_cuda import CudaNets, CudaWalk
from codec.coding.tiles import TileTask
from codec.container.format import Header
from codec.nets import torch_codec, torch_encoder
from codec.nets.integer import IntegerEntropyNet
from codec.picture.pixels import to_pixels


@pytest.fixture(scope="module")
def device() -> torch.device:
    return torch.device(DEVICE_TYPE)


def on(device: torch.device, net: IntegerEntropyNet) -> CudaNets:
    return CudaNets(net.config, segment_walk.cpu_nets(net), device)


def cpu(tensors: list[torch.Tensor]) -> list[torch.Tensor]:
    return [t.cpu() for t in tensors]


def assert_same_as_reference(net, nets, quality, height, width, large, seed, codes=("encode", "decode")):
    """Encode what an encoder may see, and decode symbols that an encoder may not even write."""
    shape, device = (quality, height, width), nets.device
    if "encode" in codes:
        y, z, zones = values_for(net.config, height, width, seed)
        y_strided = y.permute(1, 2, 0).contiguous().permute(2, 0, 1)  # as the analysis leaves it
        said = encode(CudaWalk(nets, *shape, large), y_strided.to(device), z.to(device), zones.to(device))
        assert_equal(cpu(said), encode(segment_walk.ReferenceWalk(net, *shape), y, z, zones))
    if "decode" in codes:
        start = segment_walk.CpuWalk(segment_walk.cpu_nets(net), *shape)
        sizes = [len(start.predict(0))] + [net.config.latents // net.config.steps * height * width] * net.config.steps
        rng = torch.Generator().manual_seed(seed)
        wild = [torch.randint(LOW, HIGH + 1, (n,), generator=rng).to(torch.int16) for n in sizes]
        said = decode(CudaWalk(nets, *shape, large), [s.to(device) for s in wild])
        assert_equal(cpu(said), decode(segment_walk.ReferenceWalk(net, *shape), wild))


ALL_LARGE, SOME_MEDIUM, ALL_SMALL = 0, 100, 10**6  # tiles; medium ones in planes of 101 to 400 positions


@pytest.mark.kernels
@pytest.mark.parametrize("large", [ALL_LARGE, ALL_SMALL])
@pytest.mark.parametrize(
    ("widths", "sizes"),
    [
        ((8, 4, 8, 2), [(1, 1), (2, 1), (1, 3), (7, 9), (8, 8)]),
        ((12, 6, 1, 4), [(1, 1), (1, 2), (3, 1), (5, 4), (9, 7)]),
        ((74, 40, 33, 2), [(3, 5)]),  # an odd number of heads of a kind; not a multiple of anything
        ((264, 72, 136, 4), [(1, 2)]),  # more column tiles than warps, k steps beyond a whole chunk
    ],
)
def test_random_nets_give_the_integers_of_the_reference(widths, sizes, large, device):
    config = Config(**dict(zip(("latents", "hyper", "context", "steps"), widths, strict=True)), **SMALLEST)
    for seed, (height, width) in enumerate(sizes):
        net = extreme_net(config, seed)
        assert_same_as_reference(net, on(device, net), 1 + 24 * seed, height, width, large, seed)


@pytest.mark.kernels
@pytest.mark.parametrize("large", [ALL_LARGE, SOME_MEDIUM, ALL_SMALL])
def test_several_tiles_of_each_class_of_positions_give_the_integers_of_the_reference(large, device):
    net = extreme_net(Config(latents=8, hyper=4, context=8, steps=4, **SMALLEST), 1)
    assert_same_as_reference(net, on(device, net), 100, 13, 14, large, 5, ("encode",))


def payload_of(shipped, at: segment_walk.Walk, y: torch.Tensor, z: torch.Tensor) -> bytes:
    symbols, indexes, segments, _ = payloads.quantise(at, y, z, shipped.dead_zones.to(at.device))
    return payloads.encode(symbols, indexes, segments, shipped.tables)


def assert_photo_is_the_same_on_both(shipped, nets: CudaNets, quality: int, height: int, width: int, large: int):
    """The same bytes written, and each read by the other."""
    pixels = to_pixels(photos.photo(height, width, seed=quality))
    tile = Header(width, height, quality, shipped.id, False, 4096).tiles[0]
    y, z = torch_encoder.analyse(shipped, TileTask(pixels, tile, quality, effort=1))
    shape = quality, *y.shape[1:]
    payload = payload_of(shipped, shipped.walk(*shape), y, z)
    on_device = CudaWalk(nets, *shape, large)
    assert payload_of(shipped, on_device, y.to(nets.device), z.to(nets.device)) == payload
    read = payloads.read(CudaWalk(nets, *shape, large), shipped.tables, payload)
    assert torch.equal(read.cpu(), payloads.read(shipped.walk(*shape), shipped.tables, payload))
    assert torch.equal(read, on_device.latents())


@pytest.mark.kernels
def test_a_small_photo_has_the_bytes_of_the_cpu(shipped, device):
    assert_photo_is_the_same_on_both(shipped, on(device, shipped.net), 60, 34, 40, ALL_SMALL)


@pytest.mark.needs_cuda
@pytest.mark.parametrize("large", [ALL_LARGE, ALL_SMALL])
@pytest.mark.parametrize(("quality", "height", "width"), [(5, 512, 768), (50, 700, 333), (95, 1024, 1024)])
def test_photos_have_the_bytes_of_the_cpu(shipped, quality, height, width, large, device):
    assert_photo_is_the_same_on_both(shipped, on(device, shipped.net), quality, height, width, large)


@pytest.mark.needs_cuda
def test_the_shipped_model_walks_in_cuda_on_a_gpu(shipped):
    model, shape = torch_codec.load(model_search.find(None), torch.device("cuda")), (50, 17, 31)
    assert isinstance(model.walk(*shape), CudaWalk)
    given = values_for(model.config, *shape[1:], 0)
    expected = encode(segment_walk.ReferenceWalk(shipped.net, *shape), *given)
    assert_equal(cpu(encode(model.walk(*shape), *(t.cuda() for t in given))), expected)


@pytest.mark.kernels
def test_calls_out_of_order_and_wrong_tensors_raise(device):
    net = extreme_net(Config(latents=8, hyper=4, context=8, steps=2, **SMALLEST), 0)
    nets = on(device, net)
    at = CudaWalk(nets, 50, 3, 5)
    z, zones = torch.zeros(4, 1, 2, device=device), torch.zeros(64, dtype=torch.int16, device=device)
    with pytest.raises(ValueError, match="out of order"):
        at.predict(1)
    with pytest.raises(ValueError, match="segments are left"):
        at.latents()
    at.predict(0)
    for wrong in (z.double(), z[:2]):
        with pytest.raises(ValueError, match="expected"):
            at.choose(0, wrong, zones)
    for wrong in (zones.int(), zones[1:]):
        with pytest.raises(ValueError, match="expected"):
            at.choose(0, z, wrong)
    with pytest.raises(ValueError, match="expected"):
        at.accept(0, torch.zeros(7, dtype=torch.int16, device=device))
    at.choose(0, z, zones)
    with pytest.raises(ValueError, match="out of order"):
        at.choose(0, z, zones)
    for quality, height, width in ((0, 1, 1), (101, 1, 1), (1, 0, 1), (1, 1, 0), (1, 1 << 13, 1)):
        with pytest.raises(ValueError, match="out of range"):
            CudaWalk(nets, quality, height, width)


@pytest.mark.kernels
def test_nets_too_wide_for_shared_memory_are_refused(device):
    nets = on(device, IntegerEntropyNet(Config(latents=8, hyper=1504, context=8, steps=4, **SMALLEST)))
    assert nets.fits
    nets = on(device, IntegerEntropyNet(Config(latents=8, hyper=3200, context=8, steps=4, **SMALLEST)))
    assert not nets.fits
    with pytest.raises(ValueError, match="too wide for shared memory"):
        CudaWalk(nets, 50, 1, 1)
