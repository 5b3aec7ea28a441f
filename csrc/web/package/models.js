// Models by their ids: each is fetched once, and kept by the Cache API where there is one.

const CACHE = "aec-models-1";

export class Models {
  /** platform: see index.js. urlOf: (id) => where its packed model is. */
  constructor(platform, urlOf) {
    this.platform = platform;
    this.urlOf = urlOf;
    this.pending = new Map();
  }

  /** The bytes of the packed model. Whoever loads it compares its hash, and calls forget(id) if it is damaged. */
  get(id, onProgress) {
    if (!this.pending.has(id)) {
      const bytes = this.#fetch(id, onProgress);
      bytes.catch(() => this.pending.delete(id));
      this.pending.set(id, bytes);
    }
    return this.pending.get(id);
  }

  async #fetch(id, onProgress) {
    const url = await this.urlOf(id);
    if (url instanceof Uint8Array) return url;
    const cache = await this.platform.cache(CACHE);
    const kept = await cache?.match(url).catch(() => undefined);
    if (kept) return new Uint8Array(await kept.arrayBuffer());
    const bytes = await this.platform.fetch(url, onProgress);
    // A full disk must not keep the picture from being shown.
    await cache?.put(url, new Response(bytes)).catch(() => {});
    return bytes;
  }

  async forget(id) {
    this.pending.delete(id);
    const url = await this.urlOf(id);
    if (!(url instanceof Uint8Array)) await (await this.platform.cache(CACHE))?.delete(url).catch(() => {});
  }
}
