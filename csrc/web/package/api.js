// decode, inspect and what goes with them, for pages and for node.
import { AecError } from "./core.js";
import { Models } from "./models.js";
import { Pool } from "./pool.js";

const LEAST_SPLIT = 2 ** 18; // pixels of a part for which another worker is worth it
const BLOCK = 64; // parts begin at multiples of it, so that squares of any scale are whole in them
const SCALES = [1, 2, 4, 8];
const MOST_WORKERS = 8;
const HEAD_BYTES = 64; // of a file, that are enough for its head

export function apiOf(platform) {
  let settings = { workers: Math.max(1, Math.min(platform.processors(), MOST_WORKERS)), model: platform.modelUrl };
  let pool = new Pool(platform, settings.workers);
  let models = new Models(platform, settings.model);
  let decoding = 0; // how many pictures are at the moment

  function configure({ workers, model } = {}) {
    if (workers !== undefined && !(Number.isInteger(workers) && workers >= 1))
      throw new TypeError(`workers is ${workers}: a whole number from 1 is allowed`);
    settings = { workers: workers ?? settings.workers, model: model ?? settings.model };
    pool.close();
    pool = new Pool(platform, settings.workers);
    models = new Models(platform, settings.model);
  }

  const close = () => pool.close();

  async function inspect(source, { partial = false, maxPixels, signal } = {}) {
    const bytes = await bytesOf(source);
    const info = await pool.run((hand) => hand.call("inspect", { bytes, options: { partial, maxPixels } }), signal);
    delete info.storedPicture;
    return info;
  }

  async function decode(source, options = {}) {
    decoding++;
    try {
      return await decodeNow(await bytesOf(source), check(options), options);
    } finally {
      decoding--;
    }
  }

  async function decodeNow(bytes, checked, options) {
    const info = await pool.run((hand) => hand.call("info", { bytes: bytes.slice(0, HEAD_BYTES) }), options.signal);
    const region = regionOf(info, options.region);
    // Pictures that are decoded at once do not share them: a worker each takes less work in all.
    const parts = partsOf(info, region, options.workers ?? Math.ceil(settings.workers / decoding));
    const shares = new Array(parts.length).fill(0);
    const progress = (i) => (share) => {
      shares[i] = Math.max(shares[i], share);
      options.onProgress?.(shares.reduce((sum, one) => sum + one, 0) / shares.length);
    };
    const stored = info.stored ? await storedPicture(bytes, checked, options.signal) : null;
    const pictures = await Promise.all(
      parts.map((part, i) =>
        pool.run(async (hand) => {
          await giveModel(hand, info.modelId, options);
          const message = { bytes, options: { ...checked, region: part }, storedPicture: stored };
          return hand.call("decode", message, { onProgress: progress(i) });
        }, options.signal),
      ),
    );
    return pictures.length === 1 ? pictures[0] : joined(pictures);
  }

  /** Loads the model into a worker, if it does not have it. */
  async function giveModel(hand, id, { onModelProgress }) {
    if (id === null || hand.models.has(id)) return;
    const bytes = await models.get(id, onModelProgress);
    try {
      const found = await hand.call("model", { bytes });
      if (found !== id)
        throw new AecError("model", `the picture needs model ${id}, but ${found} was found in its place`);
    } catch (error) {
      await models.forget(id);
      throw error;
    }
    hand.models.add(id);
  }

  /** The pixels of a stored JPEG, or lossy WebP, as the platform decodes it; null for others, which aec.wasm decodes. */
  async function storedPicture(bytes, options, signal) {
    const info = await pool.run((hand) => hand.call("inspect", { bytes, options }), signal);
    const { type, data } = info.storedPicture;
    const lossless = type === "image/png" || (type === "image/webp" && isLossless(data));
    return lossless ? null : platform.decodePicture(data, type);
  }

  /** A picture file that programs show in the right colours: a PNG with the profile and the depth of the .aec file; or
   * the PNG, WebP or JPEG file that is stored in it, if that says all of its colours itself. */
  async function toBlob(source, options = {}) {
    const bytes = await bytesOf(source);
    const checked = check(options);
    const info = await pool.run((hand) => hand.call("inspect", { bytes, options: checked }), options.signal);
    const { depth, metadata, storedPicture: stored, width, height } = info;
    const { icc, exif, xmp, cicp } = metadata;
    const isWhole = !options.region && !options.depth && checked.scale === 1;
    if (stored && isWhole && !(icc ?? exif ?? xmp ?? cicp))
      return { blob: new Blob([stored.data], { type: stored.type }), width, height, missing: info.missing };
    const picture = await decode(bytes, { ...options, depth: options.depth ?? depth });
    const file = await pool.run(
      (hand) => hand.call("png", { picture, metadata }, { transfer: [picture.data.buffer] }),
      options.signal,
    );
    const blob = new Blob([file], { type: "image/png" });
    return { blob, width: picture.width, height: picture.height, missing: picture.missing };
  }

  return { AecError, configure, close, inspect, decode, toBlob };
}

async function bytesOf(source) {
  if (source instanceof Uint8Array) return source;
  if (source instanceof ArrayBuffer) return new Uint8Array(source);
  if (ArrayBuffer.isView(source)) return new Uint8Array(source.buffer, source.byteOffset, source.byteLength);
  if (typeof source?.arrayBuffer === "function") return new Uint8Array(await source.arrayBuffer());
  throw new TypeError("an .aec file is given as an ArrayBuffer, a view of one, a Blob or a Response");
}

function check({ scale = 1, depth = 8, partial = false, maxPixels }) {
  if (!SCALES.includes(scale)) throw new TypeError(`scale is ${scale}: ${SCALES.join(", ")} are allowed`);
  if (depth !== 8 && depth !== 16) throw new TypeError(`depth is ${depth}: 8 and 16 are allowed`);
  return { scale, depth, partial: Boolean(partial), maxPixels };
}

function regionOf({ width, height }, region) {
  if (!region) return { x: 0, y: 0, width, height };
  const { x, y, width: w, height: h } = region;
  const right = [x, y, w, h].every(Number.isInteger) && x >= 0 && y >= 0 && w > 0 && h > 0;
  if (!right || x + w > width || y + h > height)
    throw new TypeError(`region of ${w}x${h} at (${x}, ${y}): it must lie within the picture of ${width}x${height}`);
  return { x, y, width: w, height: h };
}

/** Rows of a region for each of several workers. Each part has the pixels that the whole has there. */
function partsOf({ stored, tile }, region, workers) {
  const pixels = region.width * region.height;
  const n = stored ? 1 : Math.max(1, Math.min(workers, Math.floor(pixels / LEAST_SPLIT)));
  // With a tile for each, parts end where tiles do: what lies on a border between them is decoded twice.
  const step = region.height >= n * tile ? tile : BLOCK;
  const parts = [];
  for (let i = 0, y = region.y; i < n && y < region.y + region.height; i++) {
    const wanted = region.y + (region.height * (i + 1)) / n;
    const end = i === n - 1 ? region.y + region.height : Math.max(y + 1, Math.round(wanted / step) * step);
    const bottom = Math.min(end, region.y + region.height);
    parts.push({ ...region, y, height: bottom - y });
    y = bottom;
  }
  return parts;
}

function joined(pictures) {
  const [first] = pictures;
  const data = new first.data.constructor(pictures.reduce((sum, { data }) => sum + data.length, 0));
  let at = 0;
  for (const picture of pictures) {
    data.set(picture.data, at);
    at += picture.data.length;
  }
  return { ...first, height: pictures.reduce((sum, { height }) => sum + height, 0), data };
}

function isLossless(webp) {
  const kinds = new TextDecoder("latin1").decode(webp.subarray(0, 64));
  return kinds.includes("VP8L") && !kinds.includes("VP8 ");
}
