"""What integer networks cost in rate: `python -m bench.export_cost CHECKPOINT IMAGE..` (a checkpoint of `aec train`).

Compares the rate that the float networks estimate (with real-valued means and scales, quantised symbols, and no entropy
coder) with the size of the files that the exported integer networks write, and the PSNRs of the two.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import torch
import torch.nn.functional as F

from codec.coding import decoder
from codec.coding.tiles import TileTask
from codec.container import format
from codec.metrics import psnr
from codec.nets import torch_codec, torch_encoder
from codec.picture.pixels import to_pixels
from codec.train import export
from codec.train.codec_run import Options, Run
from codec.train.images import load_images


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.export_cost", description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("images", nargs="+", type=Path)
    parser.add_argument("--qualities", type=int, nargs="+", default=[10, 30, 50, 70, 90])
    args = parser.parse_args(argv)

    model = Run.start_from(args.checkpoint, Options(minutes=1)).averaged_model()
    images, _ = load_images(args.images, 1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.safetensors")
        export.save(path, model)
        exported = torch_codec.load(path, torch.device("cpu"))
        print("quality  float bits/px  file bits/px  difference  float PSNR  file PSNR")
        for quality in args.qualities:
            sums = torch.zeros(4, dtype=torch.float64)
            for image in images:
                pixels = to_pixels(image)
                height, width = image.shape[:2]
                x = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
                # The float networks need sides that are multiples of 64, as those of the Kodak images are.
                x = F.pad(x, (0, -width % 64, 0, -height % 64), mode="replicate")
                with torch.no_grad():
                    x_hat, bits = model(x, torch.tensor([float(quality)]))
                floats = (255 * x_hat[0, :, :height, :width]).round_().clamp_(0, 255).to(torch.uint8)
                header = pixels.header(quality, exported.id)
                # Effort 1 does not refine latents. Dead zones are used. The float networks do the same.
                tasks = [TileTask(pixels, tile, quality, effort=1) for tile in header.tiles]
                coded = [torch_encoder.analyse(exported, task) for task in tasks]
                payloads = [torch_encoder.code(exported, quality, y, z, exported.dead_zones)[0] for y, z in coded]
                data = format.write(header, payloads)
                decoded = decoder.decode(exported.decoder, decoder.Coded.of(exported.decoder, format.read(data)))
                area = height * width
                quality_of = [psnr(image, p) for p in (floats.permute(1, 2, 0).numpy(), decoded)]
                row = [float(bits) / area, 8 * len(data) / area, *quality_of]
                sums += torch.tensor(row, dtype=torch.float64) / len(images)
            float_rate, file_rate, float_psnr, file_psnr = sums.tolist()
            change = file_rate / float_rate - 1
            print(
                f"{quality:7} {float_rate:14.4f} {file_rate:13.4f} {change:+11.2%} {float_psnr:11.3f} {file_psnr:10.3f}"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
