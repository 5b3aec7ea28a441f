"""Makes side-by-side.png, README's picture: one photograph as JPEG, AVIF and aec, each file of at most 6553 bytes.

Run it with the package installed: `python docs/side_by_side.py`. That size is 0.2 bits per pixel. Of each codec it
takes the best quality whose file is no larger.
"""

import io
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

import codec

ROOT = Path(__file__).resolve().parents[1]
CROP = (112, 0, 332, 200)  # x, y, x, y
LIMIT = 512 * 512 // 5 // 8  # bytes: 0.2 bits for each of the 512x512 pixels
CAPTION = 24  # pixels


def best(original: Image.Image, kind: str, **options) -> bytes:
    """The file of the best quality that is not larger than LIMIT."""
    chosen = b""
    for quality in range(1, 101):
        file = io.BytesIO()
        original.save(file, kind, quality=quality, **options)
        if file.tell() > LIMIT:
            break
        chosen = file.getvalue()
    return chosen


def main() -> None:
    original = Image.open(ROOT / "tests/pictures/astronaut.png").convert("RGB")
    files = {
        "JPEG": best(original, "JPEG", optimize=True, progressive=True),
        "AVIF": best(original, "AVIF", subsampling="4:4:4", speed=6, advanced={"tune": "ssimulacra2"}),
        "aec": codec.encode(original, target_size=LIMIT),
    }
    panels = {"original": original}
    panels |= {f"{name}, {len(data):,} bytes": Image.open(io.BytesIO(data)) for name, data in files.items()}
    width, height = CROP[2] - CROP[0], CROP[3] - CROP[1]
    sheet = Image.new("RGB", (width * len(panels), height + CAPTION), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for i, (caption, picture) in enumerate(panels.items()):
        sheet.paste(picture.convert("RGB").crop(CROP), (i * width, CAPTION))
        draw.text((i * width + width // 2, CAPTION // 2), caption, "black", font, anchor="mm")
    sheet.save(Path(__file__).with_name("side-by-side.png"), optimize=True)


if __name__ == "__main__":
    main()
