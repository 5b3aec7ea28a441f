// node node.mjs PACKAGE < job: does the decoding tasks of worker.py with the npm package, in WebAssembly.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const aec = await import(pathToFileURL(`${process.argv[2]}/node.js`));
const { tasks } = JSON.parse(readFileSync(0, "utf8"));

/** The picture, from areas that cover it: red, green and blue of each pixel. */
async function putTogether(bytes, areas, depth, workers) {
  const width = Math.max(...areas.map(([x, , w]) => x + w));
  const height = Math.max(...areas.map(([, y, , h]) => y + h));
  const whole = new (depth === 16 ? Uint16Array : Uint8Array)(width * height * 3);
  for (const [left, top, w, h] of areas) {
    const { data } = await aec.decode(bytes, { region: { x: left, y: top, width: w, height: h }, depth, workers });
    for (let y = 0; y < h; y++)
      for (let x = 0; x < w; x++)
        for (let c = 0; c < 3; c++) whole[((top + y) * width + left + x) * 3 + c] = data[(y * w + x) * 4 + c];
  }
  return new Uint8Array(whole.buffer); // the machine of a WebAssembly module has the low byte first
}

for (const [i, { decode, threads, depth, areas }] of tasks.entries()) {
  const samples = await putTogether(new Uint8Array(readFileSync(decode)), areas, depth, threads);
  console.log(JSON.stringify([i, createHash("sha256").update(samples).digest("hex")]));
}
