// Encodes in a worker: {model: bytes} loads a model, {picture, options} encodes with it. Answers {done: bytes or true},
// {failed: message}, and {share} meanwhile.
import { Core, compile } from "./core.js";

const ready = fetch(new URL("aec-encode.wasm", import.meta.url))
  .then((response) => response.arrayBuffer())
  .then(async (bytes) => new Core(await compile(bytes)));

addEventListener("message", async ({ data: { model, picture, options } }) => {
  try {
    const core = await ready;
    core.onProgress = (share) => postMessage({ share });
    if (model) core.setEncoder(model);
    postMessage({ done: picture ? core.encode(picture, options) : true });
  } catch (error) {
    postMessage({ failed: error.message });
  }
});
