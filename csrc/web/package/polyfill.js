// Makes <img src="photo.aec"> work, with srcset, <picture> and lazy loading too: when the browser gives up on such a
// picture, this decodes it and gives it back as one that it reads. Pages load it as a module, and need do nothing else.
//
// Listeners hear no error of a picture that can be decoded, and `load` when it is. CSS backgrounds are not served.
import { AecError, toBlob } from "./index.js";

const NAME = /\.aec($|[?#])/i;
const busy = new WeakSet();

async function serve(image) {
  const url = image.currentSrc || image.src;
  busy.add(image);
  try {
    const response = await fetch(url);
    if (!response.ok) throw new AecError("io", `${url}: the server answered ${response.status}`);
    const { blob } = await toBlob(response);
    if ((image.currentSrc || image.src) !== url) return; // it shows another picture by now
    const shown = URL.createObjectURL(blob);
    image.addEventListener("load", () => URL.revokeObjectURL(shown), { once: true });
    image.dataset.aecSrc = url;
    image.removeAttribute("srcset");
    for (const source of image.parentElement?.matches("picture") ? image.parentElement.querySelectorAll("source") : [])
      source.remove();
    image.src = shown;
  } catch (error) {
    image.dispatchEvent(new CustomEvent("error", { detail: error }));
  } finally {
    busy.delete(image);
  }
}

const isOurs = (image) => image instanceof HTMLImageElement && NAME.test(image.currentSrc || image.src);

addEventListener(
  "error",
  (event) => {
    // Those of this script have a detail.
    if (!isOurs(event.target) || event.detail) return;
    event.stopImmediatePropagation();
    if (!busy.has(event.target)) serve(event.target);
  },
  true,
);
for (const image of document.images) if (image.complete && image.naturalWidth === 0 && isOurs(image)) serve(image);
