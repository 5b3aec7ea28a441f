// Workers, each with a WebAssembly module of its own, and who of them does what. They share no memory, so that this works
// in any page, isolated or not.
import { AecError } from "./core.js";

const abortOf = (signal) => signal.reason ?? new DOMException("decoding was aborted", "AbortError");

/** A worker, which does one thing after the other. */
class Hand {
  constructor(worker, module) {
    this.worker = worker;
    this.models = new Set();
    this.waiting = new Map();
    this.next = 0;
    this.broken = null;
    worker.listen(
      (message) => this.#answer(message),
      (error) => this.fail(new AecError("internal", `the decoder's worker has stopped: ${error?.message ?? error}`)),
    );
    this.ready = this.call("start", { module });
    this.ready.catch(() => {}); // whoever calls next hears of it
  }

  #answer({ id, value, error, share }) {
    const call = this.waiting.get(id);
    if (!call) return;
    if (share !== undefined) return void call.onProgress?.(share);
    this.waiting.delete(id);
    if (error) {
      if (error.fatal) this.fail(new AecError(error.code, error.message));
      call.reject(new AecError(error.code, error.message));
    } else call.resolve(value);
  }

  /** transfer: what of the message moves to the worker, and is gone here. */
  call(what, message = {}, { onProgress, transfer = [] } = {}) {
    if (this.broken) return Promise.reject(this.broken);
    const id = this.next++;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject, onProgress });
      this.worker.post({ id, what, ...message }, transfer);
    });
  }

  fail(error) {
    this.broken ??= error;
    this.worker.end();
    for (const { reject } of this.waiting.values()) reject(error);
    this.waiting.clear();
  }
}

export class Pool {
  /** platform: see index.js. size: the most workers. */
  constructor(platform, size) {
    this.platform = platform;
    this.size = size;
    this.hands = new Set();
    this.idle = [];
    this.queue = []; // those who wait for a worker
    this.starting = 0;
  }

  async #hand() {
    this.idle = this.idle.filter((hand) => !hand.broken);
    if (this.idle.length > 0) return this.idle.pop();
    if (this.hands.size + this.starting < this.size) {
      this.starting++;
      const module = await this.platform.module().finally(() => this.starting--);
      const hand = new Hand(this.platform.worker(), module);
      this.hands.add(hand);
      return hand;
    }
    return new Promise((resolve, reject) => this.queue.push({ resolve, reject }));
  }

  /** Runs job(hand) with a worker of its own. When the signal aborts, the worker is ended, whatever it does. */
  async run(job, signal) {
    if (signal?.aborted) throw abortOf(signal);
    const hand = await this.#hand();
    const abort = () => hand.fail(abortOf(signal));
    signal?.addEventListener("abort", abort);
    try {
      if (signal?.aborted) throw abortOf(signal);
      await hand.ready;
      return await job(hand);
    } finally {
      signal?.removeEventListener("abort", abort);
      this.#giveBack(hand);
    }
  }

  #giveBack(hand) {
    if (hand.broken) this.hands.delete(hand);
    else if (this.queue.length === 0) return void this.idle.push(hand);
    const next = this.queue.shift();
    if (!next) return;
    if (hand.broken) this.#hand().then(next.resolve, next.reject);
    else next.resolve(hand);
  }

  /** Ends all workers. They start anew when they are needed. */
  close() {
    const error = new AecError("cancelled", "the decoder was closed");
    for (const { reject } of this.queue) reject(error);
    for (const hand of this.hands) hand.fail(error);
    this.hands.clear();
    [this.idle, this.queue] = [[], []];
  }
}
