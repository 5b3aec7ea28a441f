// node run.mjs PACKAGE < jobs: runs calls of the package's node.js, and prints what came of each.
// A job is {file, call, options}; `bytes` limits how much of the file is read. Pixels are told by their SHA-256.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [, , folder] = process.argv;
const aec = await import(pathToFileURL(`${folder}/node.js`));
const { models, workers, jobs } = JSON.parse(readFileSync(0, "utf8"));
const given = new Map(Object.entries(models).map(([id, path]) => [id, new Uint8Array(readFileSync(path))]));
const packed = (id) => new URL(`models/${id}.aecm`, pathToFileURL(`${folder}/`));
aec.configure({ workers, model: (id) => given.get(id) ?? packed(id) });

const hashOf = (bytes) => createHash("sha256").update(bytes).digest("hex");

/** What of a result can be compared as JSON. */
async function told(value) {
  if (value.blob)
    return {
      ...value,
      blob: undefined,
      type: value.blob.type,
      file: Buffer.from(await value.blob.arrayBuffer()).toString("base64"),
    };
  if (value.data) return { ...value, data: hashOf(new Uint8Array(value.data.buffer)) };
  return JSON.parse(JSON.stringify(value, (_, v) => (v instanceof Uint8Array ? Buffer.from(v).toString("base64") : v)));
}

const results = [];
for (const { file, bytes, call, options } of jobs) {
  try {
    results.push(await told(await aec[call](readFileSync(file).subarray(0, bytes ?? undefined), options)));
  } catch (error) {
    results.push({ error: error.code ?? error.name, message: error.message });
  }
}
console.log(JSON.stringify(results));
