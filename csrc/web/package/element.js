// <aec-image src="photo.aec" alt="..." width="600" height="400" loading="eager">: as <img>, for .aec pictures.
//
// It loads when it comes near the window, unless loading is "eager". Events: load, error (detail: an AecError), and
// partial, when a coarse picture is shown. Inside is an <img part="image">, so that menus, readers and colours work.
import { showArriving } from "./arriving.js";
import { AecError } from "./index.js";

const NEAR = "200px"; // from the window, at which a lazy picture begins to load
const STYLE = `:host { display: inline-block } :host([hidden]) { display: none }
img { display: block; width: 100%; height: 100%; object-fit: inherit; object-position: inherit }
[hidden] { display: none }`;

const near = globalThis.IntersectionObserver
  ? new IntersectionObserver((entries) => entries.forEach((e) => e.isIntersecting && e.target.load()), {
      rootMargin: NEAR,
    })
  : null;

export class AecImage extends HTMLElement {
  static observedAttributes = ["src", "alt", "width", "height", "loading"];

  #image = document.createElement("img");
  #text = document.createElement("span"); // the alternative text, in the place of a picture that cannot be shown
  #size = document.createElement("style"); // what the attributes width and height say, weaker than the page's styles
  #stop = null;
  #state = "waiting";

  constructor() {
    super();
    const style = document.createElement("style");
    style.textContent = STYLE;
    this.#image.part = "image";
    this.#image.decoding = "async";
    this.#text.part = "alternative";
    this.#text.role = "img";
    this.#showText(false);
    this.attachShadow({ mode: "open" }).append(style, this.#size, this.#image, this.#text);
  }

  get complete() {
    return this.#state !== "loading" && this.#state !== "waiting";
  }
  get naturalWidth() {
    return this.#image.naturalWidth;
  }
  get naturalHeight() {
    return this.#image.naturalHeight;
  }

  connectedCallback() {
    this.#begin();
  }

  disconnectedCallback() {
    near?.unobserve(this);
    if (this.#state === "loading") this.#cancel();
  }

  attributeChangedCallback(name, before, value) {
    if (before === value) return;
    if (name === "src") {
      this.#cancel();
      this.#clear();
      if (this.isConnected) this.#begin();
    } else if (name === "loading") {
      if (this.isConnected) this.#begin();
    } else if (name !== "alt") this.#resize();
    else {
      this.#text.textContent = this.#text.ariaLabel = value ?? "";
      if (value === null) this.#image.removeAttribute("alt");
      else this.#image.alt = value;
    }
  }

  #showText(failed) {
    [this.#image.hidden, this.#text.hidden] = [failed, !failed];
  }

  #resize() {
    const [width, height] = ["width", "height"].map((name) => parseInt(this.getAttribute(name)));
    const rules = [];
    if (width >= 0) rules.push(`width: ${width}px`);
    if (height >= 0) rules.push(`height: ${height}px`);
    if (width > 0 && height > 0) rules.push(`aspect-ratio: ${width} / ${height}`);
    this.#size.textContent = `:host { ${rules.join("; ")} }`;
  }

  #begin() {
    if (this.#state !== "waiting" || !this.getAttribute("src")) return;
    if (near && this.getAttribute("loading") !== "eager") near.observe(this);
    else this.load();
  }

  #cancel() {
    this.#stop?.abort();
    this.#stop = null;
    this.#state = "waiting";
  }

  #clear() {
    URL.revokeObjectURL(this.#image.src);
    this.#image.removeAttribute("src");
    this.#showText(false);
  }

  async #show({ blob, final }, stop) {
    const before = this.#image.src;
    this.#image.src = URL.createObjectURL(blob);
    try {
      await this.#image.decode();
    } catch (error) {
      // A coarse picture may be replaced before it is decoded.
      if (final) throw new AecError("corrupt", `the browser cannot decode the picture: ${error.message}`);
    }
    URL.revokeObjectURL(before);
    if (stop.signal.aborted) return;
    if (final) this.#state = "loaded";
    this.dispatchEvent(new Event(final ? "load" : "partial"));
  }

  /** Loads the picture now, if it is not there yet. */
  async load() {
    near?.unobserve(this);
    if (this.#state !== "waiting") return;
    this.#state = "loading";
    const stop = (this.#stop = new AbortController());
    try {
      const response = await fetch(this.getAttribute("src"), { signal: stop.signal });
      await showArriving(response, (picture) => this.#show(picture, stop), { signal: stop.signal });
    } catch (error) {
      if (stop.signal.aborted) return;
      this.#state = "failed";
      this.#clear();
      this.#showText(true);
      this.dispatchEvent(new CustomEvent("error", { detail: error }));
    }
  }
}

if (!customElements.get("aec-image")) customElements.define("aec-image", AecImage);
