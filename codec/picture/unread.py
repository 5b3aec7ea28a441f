"""Names the kinds of files that are not read, for the messages that refuse them."""

UNKNOWN = "not a picture that Pillow can read"
# What a file is, by its first bytes.
_FLOATING = {b"v/1\1": "an OpenEXR picture", b"#?R": "a Radiance picture", b"PF\n": "a PFM picture"}
_OTHERS = {
    b"\xff\x0a": "a JPEG XL picture",
    b"\0\0\0\x0cJXL ": "a JPEG XL picture",
    b"II\xbc\1": "a JPEG XR picture",
    b"P7\n": "a PAM picture",
    b"\x8bJNG": "a JNG picture",
    b"\x8aMNG": "an MNG animation",
    b"gimp xcf": "a file of GIMP (XCF)",
    b"%PDF": "a PDF file",
    b"%!PS": "a PostScript file, which is a program,",
    b"\xc5\xd0\xd3\xc6": "a PostScript file, which is a program,",
    **dict.fromkeys((b"FUJIFILM", b"FOVb", b"IIRO", b"IIRS", b"IIU\0", b"MMOR"), "a camera's raw file"),
}
_BRANDS = {  # of ISO media files, in the order in which they are looked for: mif1 and msf1 say nothing of the coding
    **dict.fromkeys((b"avif", b"avis"), "an AVIF picture, damaged or for a newer decoder,"),
    b"crx ": "a camera's raw file",
    **dict.fromkeys((b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis"), "a HEIC picture"),
    **dict.fromkeys((b"mif1", b"msf1"), "a HEIF picture"),
}


def _brands(data: bytes) -> set[bytes]:
    """Return the major and the compatible brands of an ISO media file (ISO/IEC 14496-12, box ftyp)."""
    box = data[8 : min(int.from_bytes(data[:4], "big"), 256)]
    return {data[8:12], *(box[i : i + 4] for i in range(8, len(box) - 3, 4))}


def described(data: bytes) -> str:
    """Return words for an error about a file that no reader took: what it is, if that is known, and what is read."""
    if not data:
        return "an empty file, and no picture"
    for start, words in _FLOATING.items():
        if data.startswith(start):
            return f"{words}, whose samples are floating point: only integers are read"
    found = next((words for start, words in _OTHERS.items() if data.startswith(start)), None)
    if data[4:8] == b"ftyp":
        brands = _brands(data)
        found = next((words for brand, words in _BRANDS.items() if brand in brands), None)
        if found is None:
            return "a video, and no picture"
    text = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith(b"<"):
        if b"<html" in text or text.startswith(b"<!doctype html"):
            return "a web page, and no picture"
        found = "an SVG drawing" if b"<svg" in text else None
    return f"{found} is not read: convert it to PNG" if found else UNKNOWN
