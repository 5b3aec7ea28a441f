// The comparison viewer: a View (view.js) with its choices, figures and keys.
//
// pictures: [{set, name, width, height, measured: [width, height],
//   versions: [{codec, quality, bytes, bpp, figures, image}]}]
// The first version is the original (bytes is null); `image` is the id of the element that holds its data URI.

const GAINS = [1, 2, 4, 8, 16, 32];
const KEYS = [
  ["← →", "move the divider (Shift: pan, ↑ ↓ too)"],
  ["+ −", "zoom"],
  ["0", "show all"],
  ["d", "difference"],
  ["f", "flip left and right"],
  ["n p", "next, previous picture"],
  ["1 … 9", "rival at the same size"],
  ["o", "original on the right"],
];

class Viewer {
  constructor(pictures, metrics) {
    Object.assign(this, { pictures, metrics, bitmaps: new Map(), at: 0, request: 0 });
    this.view = new View(() => this.report());
    this.gain = 8;
    this.picker = el("div");
    this.sides = [el("div", { class: "side" }), el("div", { class: "side" })];
    this.rivals = el("div", { class: "rivals", role: "group", "aria-label": "rival at the same file size" });
    this.status = el("output", { class: "zoom" });
    this.distance = el("output", { class: "distance muted" });
    this.captions = [el("div", { class: "caption" }), el("div", { class: "caption" })];
    this.differ = this.button("Difference", () => this.toggleDifference(), { "aria-pressed": "false" });
    const gains = GAINS.map((gain) => [String(gain), `× ${gain}`]);
    this.element = el(
      "div",
      { class: "viewer", onkeydown: (event) => this.key(event) },
      this.picker,
      el("div", { class: "sides" }, this.sides),
      this.view.stage,
      el(
        "div",
        { class: "tools" },
        el(
          "div",
          { class: "group" },
          this.button("−", () => this.view.step(-1), { "aria-label": "zoom out" }),
          this.status,
          this.button("+", () => this.view.step(1), { "aria-label": "zoom in" }),
          this.button("All", () => this.view.fit(), { title: "show all of the picture" }),
          this.button("1:1", () => this.view.zoom(1), { title: "a pixel of the picture is one of the screen" }),
        ),
        el(
          "div",
          { class: "group" },
          this.button("Flip", () => this.flip(), { title: "left and right change places" }),
          this.differ,
          choice("amplified", gains, String(this.gain), (gain) => this.setGain(Number(gain))),
        ),
      ),
      this.distance,
      this.rivals,
      el("div", { class: "captions" }, this.captions),
      el(
        "details",
        { class: "keys" },
        el("summary", {}, "Keys, mouse and touch"),
        el(
          "dl",
          {},
          KEYS.flatMap(([keys, what]) => [
            el(
              "dt",
              {},
              keys.split(" ").map((k) => el("kbd", {}, k)),
            ),
            el("dd", {}, what),
          ]),
        ),
        el(
          "p",
          {},
          "The keys work once the picture was clicked on or tabbed to; so does the wheel, which zooms (before that, " +
            "with Ctrl). Drag the divider; drag the picture to pan when it is larger than its frame; pinch to zoom. " +
            "At 200 % and more, pixels are squares. " +
            "100 % is one pixel of the picture on one of the screen.",
        ),
      ),
    );
  }

  button(text, onclick, attributes = {}) {
    return el("button", { type: "button", onclick, ...attributes }, text);
  }

  /** Only the pictures of one set. */
  showSet(set) {
    this.list = this.pictures.filter((picture) => picture.set === set);
    if (this.list.length) this.open(0);
  }

  open(index) {
    this.at = (index + this.list.length) % this.list.length;
    this.picture = this.list[this.at];
    this.bitmaps.clear();
    const versions = this.picture.versions;
    this.left = versions.find((v) => v.bytes !== null && v.codec.startsWith("aec")) ?? versions[1] ?? versions[0];
    this.right =
      nearestInSize(
        this.left,
        versions.filter((v) => this.isRival(v)),
      ) ?? versions[0];
    const several = this.list.length > 1;
    this.picker.replaceChildren(
      el(
        "div",
        { class: "picker" },
        several ? this.button("‹", () => this.open(this.at - 1), { "aria-label": "previous picture" }) : null,
        several
          ? choice(
              "Picture",
              this.list.map((p, i) => [String(i), p.name]),
              String(this.at),
              (i) => this.open(Number(i)),
            )
          : el("strong", {}, this.picture.name),
        several ? this.button("›", () => this.open(this.at + 1), { "aria-label": "next picture" }) : null,
        el("span", { class: "muted" }, sizeOf(this.picture)),
      ),
    );
    return this.update();
  }

  isRival(version) {
    return version.bytes !== null && version.codec !== this.left.codec;
  }

  /** The codecs that the digits choose among, in the order of the file. */
  rivalCodecs() {
    return [...new Set(this.picture.versions.filter((v) => this.isRival(v)).map((v) => v.codec))].slice(0, 9);
  }

  setLeft(version) {
    const codec = this.right.codec;
    this.left = version;
    // Another rate on the left asks for another file of the same rival.
    const same = this.picture.versions.filter((v) => this.isRival(v) && v.codec === codec);
    if (this.right.bytes !== null && same.length) this.right = nearestInSize(version, same);
    return this.update();
  }

  setRight(version) {
    this.right = version;
    return this.update();
  }

  setRival(codec) {
    const versions = this.picture.versions.filter((v) => this.isRival(v) && v.codec === codec);
    if (versions.length) this.setRight(nearestInSize(this.left, versions));
  }

  flip() {
    [this.left, this.right] = [this.right, this.left];
    return this.update();
  }

  toggleDifference() {
    this.view.setGain(this.view.gain === null ? this.gain : null);
  }

  setGain(gain) {
    this.gain = gain;
    this.view.setGain(gain);
  }

  async update() {
    const { versions } = this.picture;
    const options = versions.map((version, i) => [String(i), labelOf(version)]);
    [
      ["Left", this.left, (v) => this.setLeft(v)],
      ["Right", this.right, (v) => this.setRight(v)],
    ].forEach(([label, shown, set], i) => {
      const chosen = String(versions.indexOf(shown));
      const focused = this.sides[i].contains(document.activeElement);
      this.sides[i].replaceChildren(choice(label, options, chosen, (k) => set(versions[Number(k)])));
      if (focused) this.sides[i].querySelector("select").focus();
      this.captions[i].replaceChildren(...this.figuresOf(shown, i === 1 ? this.left : null));
    });
    this.showRivals();
    // A later choice may have its pixels first: then this one is of no interest any more.
    const request = ++this.request;
    try {
      const [left, right] = await Promise.all([this.bitmapOf(this.left), this.bitmapOf(this.right)]);
      if (request === this.request) this.view.show(left, right);
    } catch (error) {
      if (request === this.request) this.status.value = `this picture cannot be shown: ${error.message}`;
    }
  }

  showRivals() {
    const focused = [...this.rivals.children].indexOf(document.activeElement);
    this.rivals.replaceChildren(
      ...this.rivalCodecs().map((codec, i) =>
        this.button([el("kbd", {}, String(i + 1)), codec], () => this.setRival(codec), {
          "aria-pressed": String(this.right.bytes !== null && this.right.codec === codec),
        }),
      ),
    );
    this.rivals.children[focused]?.focus();
  }

  bitmapOf(version) {
    if (!this.bitmaps.has(version)) this.bitmaps.set(version, decodeImage(textOf(version.image)));
    return this.bitmaps.get(version);
  }

  /** What is known of a file, beside the one that it is compared with. */
  figuresOf(version, other) {
    if (version.bytes === null) return [el("strong", {}, labelOf(version)), el("p", {}, "uncompressed")];
    const more = other?.bytes ? ` (${number(100 * (version.bytes / other.bytes - 1), 1, true)} %)` : "";
    const rows = [
      ["bytes", number(version.bytes, 0) + more],
      ["bits per pixel", number(version.bpp, 3)],
    ];
    for (const { key, name, unit, digits } of this.metrics) {
      const value = version.figures[key];
      if (value !== null && value !== undefined) rows.push([name, number(value, digits) + (unit ? ` ${unit}` : "")]);
    }
    return [
      el("strong", {}, labelOf(version)),
      el(
        "dl",
        {},
        rows.flatMap(([k, v]) => [el("dt", {}, k), el("dd", {}, v)]),
      ),
    ];
  }

  /** The view has changed. */
  report() {
    const { stage, scale, gain, split, difference } = this.view;
    const names = `left ${labelOf(this.left)}, right ${labelOf(this.right)}`;
    stage.setAttribute("aria-label", `divider between ${names}`);
    stage.setAttribute("aria-valuenow", Math.round(100 * split));
    stage.setAttribute("aria-valuetext", gain === null ? `${Math.round(100 * split)} %: ${names}` : "difference");
    this.differ.setAttribute("aria-pressed", String(gain !== null));
    this.status.value = `${number(100 * scale, scale < 1 ? 1 : 0)} %`;
    const { largest, share } = (gain !== null && difference) || {};
    this.distance.value =
      share === undefined
        ? ""
        : `largest difference ${largest} of 255; ${number(100 * share, 1)} % of the pixels differ`;
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("select, input")) return;
    const { view } = this;
    const aside = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    const actions = {
      Home: () => view.slide(0),
      End: () => view.slide(1),
      "+": () => view.step(1),
      "=": () => view.step(1),
      "-": () => view.step(-1),
      0: () => view.fit(),
      d: () => this.toggleDifference(),
      f: () => this.flip(),
      n: () => this.open(this.at + 1),
      p: () => this.open(this.at - 1),
      o: () => this.setRight(this.picture.versions[0]),
    };
    if (aside && event.shiftKey)
      view.place(view.x + (aside[0] * view.canvas.width) / 8, view.y + (aside[1] * view.canvas.height) / 8);
    else if (aside && aside[0]) view.slide(view.split - 0.02 * aside[0]);
    else if (/^[1-9]$/.test(event.key)) this.setRival(this.rivalCodecs()[Number(event.key) - 1]);
    else if (Object.hasOwn(actions, event.key)) actions[event.key]();
    else return;
    event.preventDefault();
  }
}

/** Figures are those of the picture that was encoded, even where a smaller copy is shown. */
function sizeOf({ width, height, measured: [fullWidth, fullHeight] }) {
  const full = `${fullWidth} × ${fullHeight}`;
  return width === fullWidth && height === fullHeight ? full : `${full}, shown at ${width} × ${height}`;
}

function labelOf(version) {
  return version.quality === null ? version.codec : `${version.codec}, quality ${version.quality}`;
}

function nearestInSize(version, others) {
  const distance = (other) => Math.abs(Math.log(other.bytes / version.bytes));
  return others.reduce(
    (best, other) => (best === undefined || distance(other) < distance(best) ? other : best),
    undefined,
  );
}

async function decodeImage(uri) {
  const image = new Image();
  image.src = uri;
  await image.decode();
  return createImageBitmap(image, { colorSpaceConversion: "none" });
}
