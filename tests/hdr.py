"""Pictures of 10 and 12 bits a sample whose colours are BT.2020 with PQ, and what other programs find in files."""

import base64

import numpy as np

from codec.picture import png_chunks, samples16

PQ = (9, 16, 0, 1)
# A gray ramp 0, 68, .. 1020 of 16x8 pixels, RGB with 10 bits a sample, made by libavif without loss.
AVIF = base64.b64decode(
    "AAAAIGZ0eXBhdmlmAAAAAGF2aWZtaWYxbWlhZk1BMUEAAADrbWV0YQAAAAAAAAAhaGRscgAAAAAAAAAAcGljdAAAAAAAAAAAAAAAAAAAAAAOcGl0"
    "bQAAAAAAAQAAAB5pbG9jAAAAAEQAAAEAAQAAAAEAAAETAAAAZQAAAChpaW5mAAAAAAABAAAAGmluZmUCAAAAAAEAAGF2MDFDb2xvcgAAAABqaXBy"
    "cAAAAEtpcGNvAAAAFGlzcGUAAAAAAAAAEAAAAAgAAAAQcGl4aQAAAAADCgoKAAAADGF2MUOBIEAAAAAAE2NvbHJuY2x4AAkAEAAAgAAAABdpcG1h"
    "AAAAAAAAAAEAAQQBAoMEAAAAbW1kYXQSAAoIOAy/84SIAEgyVxAAAP0m3uCa4WdjvAUkTn/0hwE7L7RR1twhj+/OsnTCkM/UEemCV5CkmyJKL9c2"
    "SP+mm5NmdD4QgGBpdzHUqMjqbS62c7Y3Pq7OhEI0IDE3uBFS3QAZQA=="
)
# The same of 12 bits, 0, 275, 547 .., and gray.
GRAY_AVIF = base64.b64decode(
    "AAAAHGZ0eXBhdmlmAAAAAGF2aWZtaWYxbWlhZgAAAOltZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAAAA5waXRtAAAA"
    "AAABAAAAHmlsb2MAAAAARAAAAQABAAAAAQAAAQ0AAABBAAAAKGlpbmYAAAAAAAEAAAAaaW5mZQIAAAAAAQAAYXYwMUNvbG9yAAAAAGhpcHJwAAAA"
    "SWlwY28AAAAUaXNwZQAAAAAAAAAQAAAACAAAAA5waXhpAAAAAAEMAAAADGF2MUOBQHwAAAAAE2NvbHJuY2x4AAkAEAAJgAAAABdpcG1hAAAAAAAA"
    "AAEAAQQBAoMEAAAASW1kYXQSAAoIWAy/8eEiATQyMxAApSgZ3MDDel4kVXl23X3pI2vkoQRvQwYldVIgxnTSs02dDWqXdY6YQEUNfzy6ZUPkwA=="
)


def gradient(channels: int, bits: int = 16) -> np.ndarray:
    """uint16 [24, 40] or [24, 40, 2|3|4]: smooth, of integers of so many bits, with alpha that is not opaque."""
    y, x = np.mgrid[:24, :40]
    planes = [x / 39, y / 23, (x + y) / 62, (x + 2 * y) / 90]
    top = 2**bits - 1
    return np.stack([(p * top).round() for p in planes[:channels]], -1).astype(np.uint16).squeeze()


def png(samples: np.ndarray, *chunks: tuple[bytes, bytes]) -> bytes:
    """A file of 16 bits a sample, with more chunks before its pixels."""
    data = samples16.write_png(samples)
    return data[:33] + b"".join(png_chunks.chunk(*c) for c in chunks) + data[33:]


def chunks_of(data: bytes) -> dict[bytes, bytes]:
    return {c.name: bytes(c.data) for c in png_chunks.chunks(data)}
