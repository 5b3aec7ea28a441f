// The package in a page.
import { apiOf } from "./api.js";
import { AecError, compile } from "./core.js";

const here = (name) => new URL(name, import.meta.url);
let compiled = null;

async function fetched(url) {
  const response = await fetch(url);
  if (!response.ok) throw new AecError("io", `${url}: the server answered ${response.status}`);
  return response;
}

const platform = {
  processors: () => navigator.hardwareConcurrency ?? 1,
  modelUrl: (id) => here(`models/${id}.aecm`).href,

  /** aec.wasm, compiled once for all workers. */
  module() {
    const failed = (error) => {
      compiled = null;
      throw error;
    };
    const made = async () => compile(await (await fetched(here("aec.wasm"))).arrayBuffer());
    return (compiled ??= made().catch(failed));
  },

  worker() {
    const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
    return {
      post: (message, transfer) => worker.postMessage(message, transfer),
      listen(onMessage, onError) {
        worker.addEventListener("message", (event) => onMessage(event.data));
        worker.addEventListener("error", onError);
      },
      end: () => worker.terminate(),
    };
  },

  /** The Cache API is there in secure contexts only. */
  cache: async (name) => (globalThis.caches ? caches.open(name).catch(() => null) : null),

  async fetch(url, onProgress) {
    const response = await fetched(url);
    const total = Number(response.headers.get("Content-Length"));
    const parts = [];
    let loaded = 0;
    for (const reader = response.body.getReader(); ;) {
      const { done, value } = await reader.read();
      if (done) break;
      parts.push(value);
      onProgress?.({ loaded: (loaded += value.length), total: total >= loaded ? total : null });
    }
    return new Uint8Array(await new Blob(parts).arrayBuffer());
  },

  async decodePicture(data, type) {
    const plain = { colorSpaceConversion: "none", premultiplyAlpha: "none" };
    const bitmap = await createImageBitmap(new Blob([withoutExif(data)], { type }), plain).catch((error) => {
      throw new AecError("corrupt", `the stored picture: ${error.message}`);
    });
    const { width, height } = bitmap;
    const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
    context.drawImage(bitmap, 0, 0);
    return { width, height, data: context.getImageData(0, 0, width, height).data };
  },
};

/** A JPEG or WebP file whose EXIF nobody finds: aec.wasm applies the orientation itself, and browsers differ. */
function withoutExif(data) {
  const copy = data.slice();
  const view = new DataView(copy.buffer);
  const is = (at, name) => [...name].every((c, i) => copy[at + i] === c.charCodeAt(0));
  if (is(0, "RIFF"))
    for (
      let at = 12;
      at + 8 <= copy.length;
      at += 8 + view.getUint32(at + 4, true) + (view.getUint32(at + 4, true) & 1)
    ) {
      if (is(at, "EXIF")) copy.set([0x6a, 0x75, 0x6e, 0x6b], at);
    }
  else
    for (
      let at = 2;
      at + 10 <= copy.length && copy[at] === 0xff && copy[at + 1] !== 0xda;
      at += 2 + view.getUint16(at + 2)
    ) {
      if (copy[at + 1] === 0xe1 && is(at + 4, "Exif")) copy.set([0x6a, 0x75, 0x6e, 0x6b], at + 4);
    }
  return copy;
}

export { AecError };
export const { configure, close, inspect, decode, toBlob } = apiOf(platform);
