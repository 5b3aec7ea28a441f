// The page to try aec: opens a picture, encodes and decodes it here, and compares the results.
/* global el, View -- from dom.js and view.js, which the bench's pages use too */
import { decode, inspect } from "./index.js";
import { RIVALS, atSize, psnr } from "./rivals.js";

const GAIN = 8; // of differences
const KEEPS_STILL = 400; // ms without a change of the settings, after which encoding begins
const ENCODER_MODELS = "aec-models-1"; // the cache, which decoding uses too
const id = (name) => document.getElementById(name);
const isAec = (bytes) => bytes[0] === 0xd7 && bytes[1] === 0x41 && bytes[2] === 0x45 && bytes[3] === 0x43;

let original = null; // {name, image: ImageData, bitmap, size}
let versions = []; // what can be shown: {label, bitmap, size, psnr, made, read, blob}
let own = null; // the version of the visitor's own file
let worker = null; // encodes; ended to stop it
let loadedModel = null;
let run = 0; // rises with each encoding, so that late results of others are dropped

const view = new View(() => describe());
id("view").append(view.stage);
view.stage.setAttribute("aria-label", "divider between the two pictures");

// ------------------------------------------------------------------------------------------------------- messages

function say(text, failed = false) {
  id("status").textContent = text;
  id("status").classList.toggle("failed", failed);
}

function progress(share) {
  id("progress").hidden = share === null;
  id("stop").hidden = share === null;
  if (share !== null) id("progress").value = share;
}

function describe() {
  const percent = Math.round(100 * view.split);
  view.stage.setAttribute("aria-valuenow", percent);
  const [left, right] = [id("left").value, id("right").value].map((i) => versions[i]?.label);
  view.stage.setAttribute("aria-valuetext", `${left} on the left, up to ${percent} %; ${right} on the right`);
}

// ------------------------------------------------------------------------------------------------------- pictures

function canvasOf(picture) {
  const canvas = new OffscreenCanvas(picture.width, picture.height);
  return [canvas, canvas.getContext("2d", { willReadFrequently: true })];
}

/** A picture of any kind that the browser or aec reads: {image, bitmap, read: ms}. */
async function read(blob) {
  const start = performance.now();
  const bytes = new Uint8Array(await blob.arrayBuffer());
  if (isAec(bytes)) {
    const decoded = await decode(bytes, { onProgress: progress });
    const image = new ImageData(decoded.data, decoded.width);
    return { image, bitmap: await createImageBitmap(image), read: performance.now() - start };
  }
  const bitmap = await createImageBitmap(blob).catch(() => {
    throw new Error(`${blob.name ?? "the file"} is no picture that this browser or aec reads`);
  });
  const [, context] = canvasOf(bitmap);
  context.drawImage(bitmap, 0, 0);
  const time = performance.now() - start;
  return { image: context.getImageData(0, 0, bitmap.width, bitmap.height), bitmap, read: time };
}

/** On white, because the encoder in this page takes opaque pictures only. */
function flattened({ image, bitmap }) {
  for (let i = 3; i < image.data.length; i += 4)
    if (image.data[i] !== 255) {
      const [canvas, context] = canvasOf(bitmap);
      context.fillStyle = "white";
      context.fillRect(0, 0, canvas.width, canvas.height);
      context.drawImage(bitmap, 0, 0);
      return context.getImageData(0, 0, canvas.width, canvas.height);
    }
  return null;
}

async function open(file) {
  if (isAtWork()) stop();
  const mine = ++run;
  try {
    say(`Reading ${file.name} …`);
    const found = await read(file);
    if (mine !== run) return;
    progress(null);
    const flat = flattened(found);
    const image = flat ?? found.image;
    original = { name: file.name, image, bitmap: flat ? await createImageBitmap(flat) : found.bitmap, size: file.size };
    own = null;
    id("settings").hidden = false;
    const bytes = new Uint8Array(await file.arrayBuffer());
    if (isAec(bytes)) return await showAec(file, found, await inspect(bytes));
    await encode(flat ? " It has transparent parts, which are shown on white." : "");
  } catch (error) {
    progress(null);
    say(error.message, true);
  }
}

/** An .aec file that was opened: there is no original, so it is compared with what the browser makes of it. */
async function showAec(file, { image, bitmap, read: time }, info) {
  const version = { label: `aec, quality ${info.quality}`, bitmap, image, size: file.size, read: time, blob: file };
  const about = `${file.name}: ${image.width}x${image.height}, quality ${info.quality}.`;
  await compare([version], `${about} Its pixels are the original that the others are made from.`);
}

// ------------------------------------------------------------------------------------------------------- encoding

function ask(message, transfer = []) {
  worker ??= new Worker(new URL("encode-worker.js", import.meta.url), { type: "module" });
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => {
      if (data.share !== undefined) progress(data.share);
      else if (data.failed) reject(new Error(data.failed));
      else resolve(data.done);
    };
    worker.onerror = (event) => reject(new Error(`the encoder has stopped: ${event.message}`));
    worker.postMessage(message, transfer);
  });
}

const isAtWork = () => worker !== null && loadedModel === null;

function stop() {
  run++;
  worker?.terminate();
  worker = loadedModel = null;
  progress(null);
}

/** The whole model, fetched once. */
async function fetchModel(name) {
  const url = new URL(`models/${name}-encoder.aecm`, import.meta.url).href;
  const cache = globalThis.caches ? await caches.open(ENCODER_MODELS).catch(() => null) : null;
  let response = await cache?.match(url);
  if (!response) {
    response = await fetch(url);
    if (!response.ok) throw new Error(`${url}: the server answered ${response.status}`);
    await cache?.put(url, response.clone()).catch(() => {});
  }
  return new Uint8Array(await response.arrayBuffer());
}

async function encode(remark = "") {
  if (isAtWork()) stop();
  const mine = ++run;
  const [model, quality, effort] = [id("model").value, Number(id("quality").value), Number(id("effort").value)];
  try {
    if (loadedModel !== model) {
      say("Fetching the model, 14 MB, once …");
      progress(0);
      const bytes = await fetchModel(model);
      if (mine !== run) return;
      await ask({ model: bytes }, [bytes.buffer]);
    }
    say(`Encoding ${original.name} …`);
    loadedModel = null; // until it is done
    let start = performance.now();
    const bytes = await ask({ picture: original.image, options: { quality, effort } });
    const made = performance.now() - start;
    loadedModel = model;
    if (mine !== run) return;
    say("Decoding …");
    const blob = new File([bytes], "picture.aec", { type: "image/x-aec" });
    const version = { label: `aec, quality ${quality}`, size: bytes.length, made, blob, ...(await read(blob)) };
    if (mine !== run) return;
    const { width, height } = original.image;
    await compare([version], `${original.name}: ${width}x${height} pixels in ${count(bytes.length)} bytes.${remark}`);
  } catch (error) {
    if (mine !== run) return;
    progress(null);
    say(error.message, true);
  }
}

// ------------------------------------------------------------------------------------------------------ comparison

async function compare(found, text) {
  const mine = run;
  const [canvas, context] = canvasOf(original.image);
  context.putImageData(original.image, 0, 0);
  const size = found[0].size;
  for (const [name, type] of Object.entries(RIVALS)) {
    const start = performance.now();
    const rival = await atSize(canvas, type, size);
    if (mine !== run) return;
    if (!rival) continue;
    const { blob, quality } = rival;
    const label = `${name}, quality ${quality}${blob.size > size ? " (its smallest)" : ""}`;
    found.push({ label, size: blob.size, blob, search: performance.now() - start, ...(await read(blob)) });
  }
  if (own) found.push(own);
  versions = [{ label: "original", bitmap: original.bitmap, size: original.size, blob: null }, ...found];
  for (const version of found) version.psnr = psnr(original.image, version.image);
  progress(null);
  say(text);
  choose(id("left"), 1);
  choose(id("right"), found.length > 1 ? 2 : 0);
  id("result").hidden = false;
  show();
  tell();
}

function choose(select, wanted) {
  const before = select.selectedIndex;
  select.replaceChildren(...versions.map(({ label }, i) => el("option", { value: i }, label)));
  select.selectedIndex = before >= 0 && before < versions.length ? before : wanted;
}

function show() {
  const [left, right] = [id("left"), id("right")].map((select) => versions[select.selectedIndex].bitmap);
  view.show(left, right);
  describe();
}

const count = (n) => n.toLocaleString("en");
const seconds = (ms) => (ms === undefined ? "" : (ms / 1000).toFixed(2));

function tell() {
  const pixels = original.image.width * original.image.height;
  id("rows").replaceChildren(
    ...versions.map(({ label, size, psnr: quality, made, read: time }) =>
      el(
        "tr",
        {},
        el("th", { scope: "row", class: "text" }, label),
        ...[count(size), ((8 * size) / pixels).toFixed(3)].map((text) => el("td", {}, text)),
        el("td", {}, quality === undefined ? "" : quality === Infinity ? "equal" : quality.toFixed(2)),
        ...[seconds(made), seconds(time)].map((text) => el("td", {}, text)),
      ),
    ),
  );
  for (const link of id("downloads").querySelectorAll("a")) URL.revokeObjectURL(link.href);
  const stem = original.name.replace(/\.[^.]*$/, "");
  id("downloads").replaceChildren(
    ...versions
      .filter(({ blob }) => blob && blob !== own?.blob)
      .map(({ blob, label }) => {
        const kind = label.split(",")[0];
        return el("a", { href: URL.createObjectURL(blob), download: `${stem}.${kind}` }, `Download the ${kind} file`);
      }),
  );
}

async function addOwn(file) {
  try {
    const found = await read(file);
    progress(null);
    if (found.image.width !== original.image.width || found.image.height !== original.image.height)
      throw new Error(
        `${file.name} has ${found.image.width}x${found.image.height} pixels: ` +
          `${original.image.width}x${original.image.height} are needed to compare it`,
      );
    versions = versions.filter((version) => version !== own);
    own = { label: file.name, size: file.size, blob: file, psnr: psnr(original.image, found.image), ...found };
    versions.push(own);
    choose(id("left"), 1);
    choose(id("right"), versions.length - 1);
    id("right").selectedIndex = versions.length - 1;
    show();
    tell();
  } catch (error) {
    progress(null);
    say(error.message, true);
  }
}

// -------------------------------------------------------------------------------------------------------- controls

const KEYS = {
  ArrowLeft: () => view.slide(view.split - 0.02),
  ArrowRight: () => view.slide(view.split + 0.02),
  Home: () => view.slide(0),
  End: () => view.slide(1),
  "+": () => view.step(1),
  "-": () => view.step(-1),
  0: () => view.fit(),
  d: () => view.setGain(view.gain === null ? GAIN : null),
  f() {
    const [left, right] = [id("left"), id("right")];
    [left.selectedIndex, right.selectedIndex] = [right.selectedIndex, left.selectedIndex];
    show();
  },
};

view.stage.addEventListener("keydown", (event) => {
  const action = KEYS[event.key];
  if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  action();
});
for (const name of ["left", "right"]) id(name).addEventListener("change", show);
id("file").addEventListener("change", (event) => event.target.files[0] && open(event.target.files[0]));
id("rival").addEventListener("change", (event) => event.target.files[0] && addOwn(event.target.files[0]));
id("stop").addEventListener("click", () => {
  stop();
  say("Stopped.");
});
id("settings").addEventListener("submit", (event) => event.preventDefault());
let soon = null;
id("settings").addEventListener("input", () => {
  id("quality-said").textContent = id("quality").value;
  clearTimeout(soon);
  soon = setTimeout(() => encode(), KEEPS_STILL);
});

addEventListener("dragover", (event) => {
  event.preventDefault();
  id("drop").classList.add("over");
});
for (const name of ["dragleave", "drop"]) addEventListener(name, () => id("drop").classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  if (event.dataTransfer.files[0]) open(event.dataTransfer.files[0]);
});
addEventListener("paste", (event) => event.clipboardData.files[0] && open(event.clipboardData.files[0]));
