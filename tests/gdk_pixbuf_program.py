"""A GTK program without windows, for test_gdk_pixbuf.py: Debian's Python runs it, which has gi.

It opens a file in pieces of one byte, at other sizes, and in several threads, and prints a line of JSON.
"""

import hashlib
import json
import sys
from concurrent.futures import ThreadPoolExecutor

import gi

gi.require_version("GdkPixbuf", "2.0")
from gi.repository import GdkPixbuf, GLib  # noqa: E402


def in_pieces(data: bytes, size: int, scaled: tuple[int, int] | None = None) -> GdkPixbuf.Pixbuf | str:
    loader, told = GdkPixbuf.PixbufLoader(), []
    loader.connect("size-prepared", lambda loader, w, h: told.append((w, h)) or scaled and loader.set_size(*scaled))
    try:
        for i in range(0, len(data), size):
            loader.write_bytes(GLib.Bytes.new(data[i : i + size]))
    except GLib.Error as e:
        return e.message
    try:
        loader.close()
    except GLib.Error as e:
        return e.message
    found = loader.get_pixbuf()
    assert told == [(found.get_width(), found.get_height())] or scaled
    return found


def digest(picture: GdkPixbuf.Pixbuf) -> str:
    return hashlib.sha256(picture.get_pixels()).hexdigest()


path = sys.argv[1]
with open(path, "rb") as file:
    data = file.read()
whole = GdkPixbuf.Pixbuf.new_from_file(path)
form, width, height = GdkPixbuf.Pixbuf.get_file_info(path)
with ThreadPoolExecutor(4) as pool:
    several = set(pool.map(lambda i: digest(in_pieces(data, 1000)), range(12)))
print(
    json.dumps(
        {
            "info": [form.get_name(), form.get_mime_types(), width, height],
            "icc": whole.get_option("icc-profile"),
            "whole": digest(whole),
            "by one byte": digest(in_pieces(data, 1)),
            "in threads": sorted(several),
            "smaller": [(p := in_pieces(data, 4096, (31, 17))).get_width(), p.get_height()],
            "larger": [(p := in_pieces(data, 4096, (300, 200))).get_width(), p.get_height()],
            "cut": in_pieces(data[:-1], 100),
            "head": in_pieces(data[:10], 3),
            "foreign": in_pieces(b"\xd7AEC" + bytes(100), 10),
        }
    )
)
