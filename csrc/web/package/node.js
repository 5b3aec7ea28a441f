// The package in node.
import { readFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { apiOf } from "./api.js";
import { AecError, compile } from "./core.js";

const here = (name) => new URL(name, import.meta.url);
let compiled = null;

const platform = {
  processors: availableParallelism,
  modelUrl: (id) => here(`models/${id}.aecm`).href,
  module: () => (compiled ??= readFile(here("aec.wasm")).then((bytes) => compile(bytes))),

  worker() {
    const worker = new Worker(here("worker-node.js"));
    worker.unref(); // a program ends when only idle workers are left
    let waiting = 0;
    return {
      post(message, transfer) {
        if (waiting++ === 0) worker.ref();
        worker.postMessage(message, transfer);
      },
      listen(onMessage, onError) {
        worker.on("message", (message) => {
          if (message.share === undefined && --waiting === 0) worker.unref();
          onMessage(message);
        });
        worker.on("error", onError);
      },
      end: () => void worker.terminate(),
    };
  },

  cache: async () => null,

  async fetch(url) {
    if (!String(url).startsWith("file:")) return new Uint8Array(await (await fetch(url)).arrayBuffer());
    return readFile(fileURLToPath(url)).catch((error) => {
      throw new AecError("model", `the model cannot be read: ${error.message}`);
    });
  },

  async decodePicture(data, type) {
    throw new AecError("embedded", `the picture inside is of type ${type}, lossy: node has no decoder for it`);
  },
};

export { AecError };
export const { configure, close, inspect, decode, toBlob } = apiOf(platform);
