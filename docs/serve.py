"""A web server for .aec files, to copy and to change. docs/serve.md tells how it is run.

POST /?quality=60, with a picture (PNG, JPEG, WebP, ..) as the body: answers with its .aec file.
GET /NAME.png or GET /NAME.jpg?fit=400x300: answers with the picture in NAME.aec, made smaller if `fit` is given.
GET /NAME.aec: answers with the file itself.

The files are in the folder that the environment variable AEC_PICTURES names.
"""

import io
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from PIL import Image, UnidentifiedImageError

import codec

FOLDER = Path(os.environ.get("AEC_PICTURES", "."))
MOST_BYTES, MOST_PIXELS = 32 << 20, 50_000_000  # of a picture that is sent
KINDS = {"png": "image/png", "jpg": "image/jpeg", "aec": "image/x-aec"}
# No slash and no leading dot: nothing outside FOLDER. No file system has files with longer names.
PATH = re.compile(rf"/([\w-]{{1,250}})\.({'|'.join(KINDS)})", re.ASCII)

# gunicorn imports this module once and then forks its workers, so they share the model that is loaded here.
codec.decode(codec.encode(Image.effect_noise((64, 64), 50)))


class Refused(Exception):
    """A request that cannot be answered. Its arguments are the HTTP status line and an explanation."""


def app(environ: dict[str, Any], start_response: Callable) -> Iterable[bytes]:
    """Answer a request; a WSGI server calls this from several threads at once."""
    status, kind = "200 OK", "text/plain; charset=utf-8"
    try:
        options = dict(parse_qs(environ.get("QUERY_STRING", "")))
        if environ["REQUEST_METHOD"] == "POST":
            kind, body = KINDS["aec"], compressed(sent(environ), options)
        elif environ["REQUEST_METHOD"] == "GET":
            kind, body = found(environ["PATH_INFO"], options)
        else:
            raise Refused("405 Method Not Allowed", "allowed are GET and POST")
    except Refused as e:
        status, body = e.args[0], f"{e.args[1]}\n".encode()
    start_response(status, [("Content-Type", kind), ("Content-Length", str(len(body)))])
    return [body]


def sent(environ: dict[str, Any]) -> bytes:
    length = environ.get("CONTENT_LENGTH") or ""
    if not length.isdecimal():
        raise Refused("411 Length Required", "the request must have a Content-Length")
    if int(length) > MOST_BYTES:
        raise Refused("413 Content Too Large", f"{length} bytes: at most {MOST_BYTES} are allowed")
    return environ["wsgi.input"].read(int(length))


def compressed(data: bytes, options: dict[str, list[str]]) -> bytes:
    quality = options.get("quality", [str(codec.api.DEFAULT_QUALITY)])[0]
    if not quality.isdecimal():
        raise Refused("400 Bad Request", f"quality {quality!r}: must be a number, 1..100")
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.width * image.height > MOST_PIXELS:
                size = f"{image.width}x{image.height} pixels"
                raise Refused("413 Content Too Large", f"{size}: at most {MOST_PIXELS} are allowed")
            return codec.encode(image, int(quality), source=data)
    except (UnidentifiedImageError, Image.DecompressionBombError) as e:
        raise Refused("415 Unsupported Media Type", str(e)) from e
    except (OSError, SyntaxError, ValueError) as e:  # Pillow raises these for damaged pictures, and codec ValueError
        raise Refused("400 Bad Request", str(e)) from e


def found(path: str, options: dict[str, list[str]]) -> tuple[str, bytes]:
    """Return the kind and the contents of a file."""
    match = PATH.fullmatch(path)
    if match is None:
        raise Refused("404 Not Found", f"allowed are /NAME.{', /NAME.'.join(KINDS)}")
    name, suffix = match.groups()
    box = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", options.get("fit", ["65535x65535"])[0], re.ASCII)
    if box is None:
        raise Refused("400 Bad Request", "fit must be WIDTHxHEIGHT, in pixels")
    try:
        data = (FOLDER / f"{name}.aec").read_bytes()
        if suffix == "aec":
            return KINDS["aec"], data
        image = codec.decode(data, fit=(int(box[1]), int(box[2])), depth=8)
    except FileNotFoundError as e:
        raise Refused("404 Not Found", f"there is no picture {name!r}") from e
    except (codec.AecError, ValueError) as e:
        raise Refused("500 Internal Server Error", f"{name}.aec: {e}") from e
    except OSError as e:  # such as a file that may not be read; e itself would tell where the folder is
        raise Refused("500 Internal Server Error", f"{name}.aec: {e.strerror}") from e
    file = io.BytesIO()
    if suffix == "jpg":
        image.convert("RGB").save(file, "JPEG", quality=90)
    else:
        image.save(file, "PNG")
    return KINDS[suffix], file.getvalue()
