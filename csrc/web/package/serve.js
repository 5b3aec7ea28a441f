// What a worker does: it answers the messages of pool.js. The same in pages and in node.
import { AecError, Core } from "./core.js";
import { pngOf } from "./png.js";

/** port: {post(message, transfer), listen(handler)}. */
export function serve(port) {
  let core = null;
  const answers = {
    start: ({ module }) => void (core = new Core(module)),
    info: ({ bytes }) => core.info(bytes),
    inspect: ({ bytes, options }) => core.inspect(bytes, options),
    model: ({ bytes }) => core.addModel(bytes),
    decode({ id, bytes, options, storedPicture }) {
      core.onProgress = (share) => port.post({ id, share });
      core.decodedPicture = storedPicture ?? null;
      return core.decode(bytes, options);
    },
    png: ({ picture, metadata }) => pngOf(picture, metadata),
  };
  port.listen((message) => {
    const { id, what } = message;
    try {
      const value = answers[what](message);
      const buffer = value?.data?.buffer ?? value?.buffer;
      port.post({ id, value }, buffer ? [buffer] : []);
    } catch (error) {
      // A trap leaves the module's memory in a state that nobody knows.
      const fatal = error instanceof WebAssembly.RuntimeError || error instanceof RangeError;
      const code = error instanceof AecError ? error.code : "internal";
      port.post({ id, error: { code, message: error.message, fatal } });
    }
  });
}
