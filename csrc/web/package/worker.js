// The worker in a page.
import { serve } from "./serve.js";

serve({
  post: (message, transfer) => self.postMessage(message, transfer),
  listen: (handler) => self.addEventListener("message", (event) => handler(event.data)),
});
