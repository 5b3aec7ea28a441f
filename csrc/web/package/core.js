// The WebAssembly module: memory, calls and errors. Everything here is synchronous, and runs in a worker.

const STATUS = ["ok", "not-aec", "version", "truncated", "corrupt", "limit", "model", "embedded"];
STATUS.push("argument", "memory", "io", "cancelled", "internal");
const INFO = ["width", "height", "depth", "gray", "alpha", "quality", "needsModel", "stored"];
INFO.push("exact", "mapped", "tile", "tiles", "parts", "first", "modelId");
const FLAGS = new Set(["gray", "alpha", "needsModel", "stored", "exact", "mapped"]);
const METADATA = ["icc", "exif", "xmp", "cicp", "significantBits", "extra"];
const MISSING = ["colours", "alpha", "metadata"];
export const EMBEDDED = [null, "image/png", "image/webp", "image/jpeg"];
const MESSAGE_BYTES = 512; // of aec_error: the status, then the message
const RGBA = 4;
const DEFAULT_MAX_PIXELS = 2 ** 28;

/** What was wrong with a file, a model or a call. `code` is one of the names in index.d.ts. */
export class AecError extends Error {
  constructor(code, message) {
    super(message);
    this.name = "AecError";
    this.code = code;
  }
}

/** Compiles aec.wasm. */
export async function compile(bytes) {
  try {
    return await WebAssembly.compile(bytes);
  } catch (error) {
    if (!(error instanceof WebAssembly.CompileError)) throw error;
    throw new AecError("internal", `WebAssembly with SIMD and exceptions is needed here: ${error.message}`);
  }
}

const hexOf = (id) => (id >>> 0).toString(16).padStart(8, "0");

export class Core {
  /** module: a WebAssembly.Module of aec.wasm. */
  constructor(module) {
    this.onProgress = null; // called with the share that is done while decode runs
    this.decodedPicture = null; // {width, height, data}: what a stored JPEG or lossy WebP was decoded to by others
    const stop = (code) => {
      throw new AecError("internal", `the decoder has stopped with code ${code}`);
    };
    const instance = new WebAssembly.Instance(module, {
      env: { emscripten_notify_memory_growth() {} },
      wasi_snapshot_preview1: { proc_exit: stop, fd_write: () => 8, fd_close: () => 8, fd_seek: () => 8 },
      aec: {
        progress: (share) => (this.onProgress?.(share), 0),
        decoded_picture: (pixels, width, height) => this.#giveDecoded(pixels, width, height),
      },
    });
    this.calls = instance.exports;
    this.calls._initialize();
    this.result = this.calls.result();
    this.models = new Map();
    this.encoder = 0;
  }

  #bytes(at, size) {
    return new Uint8Array(this.calls.memory.buffer, at >>> 0, size);
  }

  #numbers(n) {
    return Array.from(new Uint32Array(this.calls.memory.buffer, this.result + MESSAGE_BYTES, n));
  }

  /** Calls a function that returns a status, and returns the first n numbers of its result. */
  #call(name, n, ...given) {
    const status = this.calls[name](...given);
    if (status === 0) return this.#numbers(n);
    const message = this.#bytes(this.result + 4, MESSAGE_BYTES - 4);
    const text = new TextDecoder().decode(message.slice(0, message.indexOf(0)));
    throw new AecError(STATUS[status] ?? "internal", text);
  }

  #giveDecoded(pixels, width, height) {
    const picture = this.decodedPicture;
    if (picture?.width !== width || picture?.height !== height) return 0;
    this.#bytes(pixels, 4 * width * height).set(picture.data);
    return 1;
  }

  /** Runs use(pointer, size) with the bytes in the module's memory, which are freed afterwards. */
  #with(bytes, use) {
    const at = this.#allocate(bytes.length);
    try {
      this.#bytes(at, bytes.length).set(bytes);
      return use(at, bytes.length);
    } finally {
      this.calls.free(at);
    }
  }

  #allocate(size) {
    const at = this.calls.malloc(Math.max(size, 1));
    if (at === 0) throw new AecError("memory", `there is not enough memory for ${size} bytes`);
    return at >>> 0;
  }

  #withFile(bytes, { partial, maxPixels }, use) {
    return this.#with(bytes, (at, size) => {
      const most = maxPixels ?? DEFAULT_MAX_PIXELS;
      const [file] = this.#call("open", 1, at, size, partial ? 1 : 0, Math.min(most, 2 ** 32 - 1));
      try {
        return use(file);
      } finally {
        this.calls.close(file);
      }
    });
  }

  /** What the head of a file says. The first 64 bytes of the file are enough. */
  info(bytes) {
    return this.#with(bytes.subarray(0, 64), (at, size) => {
      const info = {};
      this.#call("read_info", INFO.length, at, size).forEach((value, i) => {
        info[INFO[i]] = FLAGS.has(INFO[i]) ? value !== 0 : value;
      });
      info.modelId = info.needsModel ? hexOf(info.modelId) : null;
      return info;
    });
  }

  /** The same, with the metadata, the bytes at which each part is there, and the stored picture, if it is one. */
  inspect(bytes, options) {
    const info = this.info(bytes);
    return this.#withFile(bytes, options, (file) => {
      info.metadata = {};
      METADATA.forEach((name, kind) => {
        const [at, size] = this.#call("metadata", 2, file, kind);
        info.metadata[name] = size > 0 ? this.#bytes(at, size).slice() : null;
      });
      info.metadata.significantBits = info.metadata.significantBits?.[0] ?? null;
      info.stages = Array.from({ length: info.parts }, (_, part) => this.#call("stage", 1, file, part)[0]);
      info.missing = this.#missing(file);
      info.storedPicture = null;
      if (info.stored) {
        const [at, size, kind] = this.#call("embedded", 3, file);
        info.storedPicture = { type: EMBEDDED[kind], data: this.#bytes(at, size).slice() };
      }
      return info;
    });
  }

  #missing(file) {
    return Array.from({ length: this.calls.missing_count(file) }, (_, i) => {
      const [what, x, y, width, height, parts, of, kind] = this.#call("missing", 8, file, i);
      const name = MISSING[what] === "metadata" ? METADATA[kind] : null;
      return { what: MISSING[what], x, y, width, height, parts, of, name };
    });
  }

  hasModel(id) {
    return this.models.has(id);
  }

  /** Loads a model, packed or not. Returns its id. */
  addModel(bytes) {
    const [model, id] = this.#with(bytes, (at, size) => this.#call("open_model", 2, at, size));
    this.models.set(hexOf(id), model);
    return hexOf(id);
  }

  /** Loads a whole model, packed or not, for encoding. Only aec-encode.wasm can. */
  setEncoder(bytes) {
    if (this.encoder) this.calls.close_encoder(this.encoder);
    this.encoder = 0;
    [this.encoder] = this.#with(bytes, (at, size) => this.#call("open_encoder", 1, at, size));
  }

  /** Encodes opaque sRGB pixels, as in an ImageData, to the bytes of a file. */
  encode({ width, height, data }, { quality = 75, effort = 2, progressive = false }) {
    return this.#with(data, (at) => {
      const wanted = [width, height, quality, effort, progressive ? 1 : 0];
      const [made, size] = this.#call("encode", 2, this.encoder, at, ...wanted);
      return this.#bytes(made, size).slice();
    });
  }

  /** Decodes a picture, or a region of it, to {width, height, depth, data, missing}. */
  decode(bytes, { region, scale = 1, depth = 8, partial = false, maxPixels }) {
    const { modelId } = this.info(bytes);
    const model = modelId === null ? 0 : this.models.get(modelId);
    const { x = 0, y = 0, width = 0, height = 0 } = region ?? {};
    const wanted = [x, y, width, height, scale, depth, RGBA];
    return this.#withFile(bytes, { partial, maxPixels }, (file) => {
      const [outWidth, outHeight, , , size] = this.#call("pixels", 5, file, ...wanted);
      const out = this.#allocate(size);
      try {
        this.#call("decode", 0, file, model, ...wanted, out, size / outHeight, size);
        const made = this.#bytes(out, size).slice().buffer;
        const data = depth === 16 ? new Uint16Array(made) : new Uint8ClampedArray(made);
        return { width: outWidth, height: outHeight, depth, data, missing: this.#missing(file) };
      } finally {
        this.calls.free(out);
      }
    });
  }
}
