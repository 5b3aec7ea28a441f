// The worker in node.
import { parentPort } from "node:worker_threads";
import { serve } from "./serve.js";

serve({
  post: (message, transfer) => parentPort.postMessage(message, transfer),
  listen: (handler) => parentPort.on("message", handler),
});
