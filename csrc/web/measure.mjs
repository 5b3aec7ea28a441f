// node measure.mjs PACKAGE FILE ..: how long the package takes to decode files, with one worker and with all, in node.
// Each time is the median of RUNS; CPU time counts all threads, and tells more than the clock on a machine that is busy.
import { readFileSync, statSync } from "node:fs";
import { availableParallelism } from "node:os";
import { basename } from "node:path";
import { pathToFileURL } from "node:url";
import { brotliCompressSync, gzipSync } from "node:zlib";

const RUNS = 7;
const [, , folder, ...files] = process.argv;
const start = pathToFileURL(`${folder}/`);
const aec = await import(new URL("node.js", start));
const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];

const module = readFileSync(new URL("aec.wasm", start));
const sizes = [module.length, gzipSync(module, { level: 9 }).length, brotliCompressSync(module).length];
console.log(`aec.wasm: ${sizes[0]} bytes, ${sizes[1]} with gzip, ${sizes[2]} with brotli`);
for (const file of files) {
  const bytes = readFileSync(file);
  const { width, height } = await aec.inspect(bytes);
  for (const workers of new Set([1, availableParallelism()])) {
    const [clock, cpu] = [[], []];
    for (let i = 0; i <= RUNS; i++) {
      const [t, c] = [performance.now(), process.cpuUsage()];
      await aec.decode(bytes, { workers });
      const used = process.cpuUsage(c);
      if (i === 0) continue; // starts workers, and loads the model
      clock.push(performance.now() - t);
      cpu.push((used.user + used.system) / 1e3);
    }
    const said = [clock, cpu].map((values) => `${median(values).toFixed(0)} ms`);
    console.log(
      `${basename(file)}, ${width}x${height}, ${statSync(file).size} bytes, workers: ${workers}: ` +
        `${said[0]}, of processors ${said[1]}`,
    );
  }
}
