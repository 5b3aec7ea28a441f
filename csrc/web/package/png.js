// Writes PNG files without compressing them: quickly, for a browser that reads them right away. They keep what a canvas
// would lose: profiles, code points, 16 bits, and colours where alpha is small.

const BLOCK = 65535; // the most bytes of a stored block of deflate

const CRC = new Uint32Array(256).map((_, byte) => {
  for (let bit = 0; bit < 8; bit++) byte = byte & 1 ? 0xedb88320 ^ (byte >>> 1) : byte >>> 1;
  return byte;
});

function crc32(bytes) {
  let crc = -1;
  for (let i = 0; i < bytes.length; i++) crc = CRC[(crc ^ bytes[i]) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
}

function adler32(bytes) {
  let [a, b] = [1, 0];
  for (let i = 0; i < bytes.length;) {
    for (const end = Math.min(i + 5552, bytes.length); i < end; i++) b += a += bytes[i];
    a %= 65521;
    b %= 65521;
  }
  return ((b << 16) | a) >>> 0;
}

/** A zlib stream of stored blocks. */
function stored(bytes) {
  const blocks = Math.max(1, Math.ceil(bytes.length / BLOCK));
  const out = new Uint8Array(2 + bytes.length + 5 * blocks + 4);
  const view = new DataView(out.buffer);
  out.set([0x78, 0x01]);
  let at = 2;
  for (let i = 0; i < blocks; i++) {
    const block = bytes.subarray(i * BLOCK, (i + 1) * BLOCK);
    out[at] = i === blocks - 1 ? 1 : 0;
    view.setUint16(at + 1, block.length, true);
    view.setUint16(at + 3, ~block.length & 0xffff, true);
    out.set(block, at + 5);
    at += 5 + block.length;
  }
  view.setUint32(at, adler32(bytes));
  return out;
}

function chunk(name, data) {
  const out = new Uint8Array(12 + data.length);
  const view = new DataView(out.buffer);
  view.setUint32(0, data.length);
  for (let i = 0; i < 4; i++) out[4 + i] = name.charCodeAt(i);
  out.set(data, 8);
  view.setUint32(8 + data.length, crc32(out.subarray(4, 8 + data.length)));
  return out;
}

/** Rows of RGBA, each after its filter, which is none; big-endian. */
function rowsOf({ width, height, depth, data }) {
  const row = width * 4 * (depth / 8);
  const out = new Uint8Array(height * (row + 1));
  for (let y = 0; y < height; y++) {
    const at = y * (row + 1) + 1;
    if (depth === 8) out.set(data.subarray(y * row, (y + 1) * row), at);
    else
      for (let x = 0; x < 4 * width; x++) {
        const sample = data[y * 4 * width + x];
        out[at + 2 * x] = sample >> 8;
        out[at + 2 * x + 1] = sample & 255;
      }
  }
  return out;
}

/** picture: as decode gives it. metadata: as inspect gives it. */
export function pngOf(picture, { icc, cicp }) {
  const head = new Uint8Array(13);
  const view = new DataView(head.buffer);
  view.setUint32(0, picture.width);
  view.setUint32(4, picture.height);
  head.set([picture.depth, 6], 8);
  const parts = [Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10), chunk("IHDR", head)];
  if (cicp) parts.push(chunk("cICP", cicp));
  // A profile of gray samples cannot be one of this file, whose samples are RGB.
  const isRgb = icc && String.fromCharCode(...icc.subarray(16, 20)) === "RGB ";
  if (isRgb) parts.push(chunk("iCCP", Uint8Array.of(...[..."icc"].map((c) => c.charCodeAt(0)), 0, 0, ...stored(icc))));
  if (!icc && !cicp) parts.push(chunk("sRGB", Uint8Array.of(0)));
  parts.push(chunk("IDAT", stored(rowsOf(picture))), chunk("IEND", new Uint8Array(0)));
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  parts.reduce((at, part) => (out.set(part, at), at + part.length), 0);
  return out;
}
