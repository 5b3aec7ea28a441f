"""What only a GPU can show: files made on it mean the same on the CPU, and training moves between the two."""

import coded
import numpy as np
import photos
import pytest
import torch

import codec
from codec.coding import model_search
from codec.coding.model_config import Config
from codec.nets import torch_codec
from codec.train import codec_run, images

pytestmark = pytest.mark.needs_cuda


@pytest.mark.parametrize("quality", [5, 50, 95])
def test_files_of_either_device_have_the_same_latents_and_pixels_on_the_other(quality):
    image = photos.photo(200, 264, seed=quality)
    models = [torch_codec.load(model_search.find(None), torch.device(d)) for d in ("cpu", "cuda")]
    for device in ("cpu", "cuda"):
        data = codec.encode(image, quality, device=device)
        on_cpu, on_cuda = (list(coded.latents(m, data)) for m in models)
        assert all(np.array_equal(a, b) for a, b in zip(on_cpu, on_cuda, strict=True))
        pixels = [codec.decode(data, device=d, output="torch").cpu() for d in ("cpu", "cuda")]
        assert torch.equal(*pixels)


def test_a_picture_on_the_gpu_is_encoded_and_decoded_there():
    image = torch.from_numpy(photos.photo(70, 90)).permute(2, 0, 1).cuda()
    decoded = codec.decode(codec.encode(image, 60, device="cuda"), device="cuda", output="torch")
    assert decoded.is_cuda and decoded.shape == image.shape


def test_training_goes_on_from_a_checkpoint_of_the_other_device(tmp_path):
    pictures = [photos.photo(256, 320, seed=i) for i in range(3)]
    config = Config(latents=8, hyper=4, wide8=8, blocks8=1, wide16=8, blocks16=1, context=8)
    path = tmp_path / "run.checkpoint.safetensors"
    run = codec_run.Run(codec_run.Options(minutes=1, device="cuda", batch=2), config)
    run.start(pictures)
    crops = images.Crops(pictures, torch.device("cuda"))
    assert torch.isfinite(run.update(crops.draw(2, codec_run.SIDE), 1e-3)).all()
    run.save(path)
    for device in ("cpu", "cuda"):
        again = codec_run.Run.load(path, codec_run.Options(minutes=1, device=device, batch=2))
        assert all(torch.equal(v.cpu(), again.model.state_dict()[k].cpu()) for k, v in run.model.state_dict().items())
        drawn = images.Crops(pictures, torch.device(device)).draw(2, codec_run.SIDE)
        assert torch.isfinite(again.update(drawn, 1e-3)).all()
