// Two pictures of one size on a canvas: a divider between them, zoom, pan, and their difference. No controls here.

const LARGEST_ZOOM = 32;
const NEAR_DIVIDER = 24; // CSS pixels that a finger may miss it by

/**
 * All lengths are device pixels, so that at scale 1 a pixel of the picture is one of the screen. `scale` and the
 * picture's left and top edge (x, y) say where it lies; `split`, 0..1, where the divider is in what is seen of it.
 */
class View {
  constructor(onchange) {
    this.onchange = onchange;
    this.canvas = el("canvas");
    this.divider = el("div", { class: "divider", "aria-hidden": "true" });
    this.stage = el("div", { class: "stage", tabindex: "0", role: "slider", "aria-valuemin": 0, "aria-valuemax": 100 });
    this.stage.append(this.canvas, this.divider);
    this.context = this.canvas.getContext("2d", { alpha: false });
    this.split = 0.5;
    this.fitted = true;
    this.gain = null; // of the difference; null: the pictures themselves
    this.pointers = new Map();
    this.width = this.height = 0;
    new ResizeObserver(() => this.resize()).observe(this.stage);
    this.stage.addEventListener("pointerdown", (event) => this.press(event));
    this.stage.addEventListener("pointermove", (event) => this.move(event));
    for (const end of ["pointerup", "pointercancel"]) {
      this.stage.addEventListener(end, (event) => this.pointers.delete(event.pointerId));
    }
    this.stage.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
  }

  /** left, right: ImageBitmaps of one size. A picture of another size than the last is shown whole. */
  show(left, right) {
    const another = left.width !== this.width || left.height !== this.height;
    [this.left, this.right, this.difference] = [left, right, null];
    if (another) {
      [this.width, this.height] = [left.width, left.height];
      this.stage.style.aspectRatio = `${left.width} / ${left.height}`;
      this.fit();
    } else this.draw();
  }

  resize() {
    const ratio = devicePixelRatio;
    const [width, height] = [this.stage.clientWidth, this.stage.clientHeight].map((side) => Math.round(side * ratio));
    if (width === this.canvas.width && height === this.canvas.height) return;
    [this.canvas.width, this.canvas.height] = [width, height];
    if (this.fitted) this.fit();
    else this.place(this.x, this.y);
  }

  /** All of it; small pictures whole times as large, so that they stay sharp. */
  fit() {
    if (!this.width || !this.canvas.width) return;
    const room = Math.min(this.canvas.width / this.width, this.canvas.height / this.height);
    this.scale = room >= 2 ? Math.floor(room) : devicePixelRatio > 1 ? room : Math.min(room, 1);
    this.fitted = true;
    this.place(0, 0);
  }

  /** Put the picture's corner there, but leave no border where the picture is larger than the canvas. */
  place(x, y) {
    const along = (wanted, canvas, picture) =>
      Math.round(picture <= canvas ? (canvas - picture) / 2 : Math.min(0, Math.max(canvas - picture, wanted)));
    this.x = along(x, this.canvas.width, this.width * this.scale);
    this.y = along(y, this.canvas.height, this.height * this.scale);
    this.draw();
  }

  /** Zoom, with the point (x, y) of the canvas held still; the canvas' middle if it is left out. */
  zoom(scale, x = this.canvas.width / 2, y = this.canvas.height / 2) {
    const before = this.scale;
    this.scale = Math.min(LARGEST_ZOOM, Math.max(Math.min(1, this.scaleOfFit()), scale));
    this.fitted = false;
    this.place(x - ((x - this.x) * this.scale) / before, y - ((y - this.y) * this.scale) / before);
  }

  scaleOfFit() {
    return Math.min(this.canvas.width / this.width, this.canvas.height / this.height);
  }

  /** To the next power of two, up or down. */
  step(direction) {
    const power = Math.log2(this.scale);
    this.zoom(2 ** (direction > 0 ? Math.floor(power + 1e-9) + 1 : Math.ceil(power - 1e-9) - 1));
  }

  slide(split) {
    this.split = Math.min(1, Math.max(0, split));
    this.draw();
  }

  /** [left, right] of what is seen of the picture. */
  span() {
    return [Math.max(0, this.x), Math.min(this.canvas.width, Math.round(this.x + this.width * this.scale))];
  }

  dividerX() {
    const [from, to] = this.span();
    return Math.round(from + this.split * (to - from));
  }

  draw() {
    if (!this.left || !this.canvas.width) return;
    const { context, canvas, x, y } = this;
    const at = this.dividerX();
    context.fillStyle = cssBackground(this.stage);
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.imageSmoothingEnabled = this.scale < 2;
    context.imageSmoothingQuality = "high";
    const parts =
      this.gain === null
        ? [
            [this.left, 0, at],
            [this.right, at, canvas.width],
          ]
        : [[(this.difference ??= differenceOf(this.left, this.right, this.gain)).canvas, 0, canvas.width]];
    for (const [picture, from, to] of parts) {
      context.save();
      context.beginPath();
      context.rect(from, 0, to - from, canvas.height);
      context.clip();
      context.drawImage(picture, x, y, Math.round(this.width * this.scale), Math.round(this.height * this.scale));
      context.restore();
    }
    this.divider.hidden = this.gain !== null;
    this.divider.style.left = `${at / devicePixelRatio}px`;
    // With all of it in sight there is nothing to pan: a finger that moves up or down scrolls the page.
    const whole = this.wholeInSight();
    this.stage.style.touchAction = whole ? "pan-y" : "none";
    this.stage.style.cursor = whole ? "ew-resize" : "grab";
    this.onchange(this);
  }

  wholeInSight() {
    return this.width * this.scale <= this.canvas.width + 1 && this.height * this.scale <= this.canvas.height + 1;
  }

  setGain(gain) {
    [this.gain, this.difference] = [gain, null];
    this.draw();
  }

  // ------------------------------------------------------------------ pointers

  pointOf(event) {
    const box = this.canvas.getBoundingClientRect();
    return { x: (event.clientX - box.left) * devicePixelRatio, y: (event.clientY - box.top) * devicePixelRatio };
  }

  press(event) {
    if (event.button !== 0 || !this.left) return;
    event.preventDefault(); // no selection of text, no native drag
    this.stage.focus({ preventScroll: true });
    this.stage.setPointerCapture(event.pointerId);
    const point = this.pointOf(event);
    this.pointers.set(event.pointerId, point);
    const near = Math.abs(point.x - this.dividerX()) <= NEAR_DIVIDER * devicePixelRatio;
    this.sliding = this.gain === null && (near || this.wholeInSight());
    // Taking hold of the divider must not move it; pressing elsewhere calls it.
    this.hold = near ? this.dividerX() - point.x : 0;
    if (this.sliding && !near) this.slideTo(point.x);
  }

  move(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const point = this.pointOf(event);
    if (this.pointers.size === 2) this.pinch(event.pointerId, before, point);
    else if (this.sliding) this.slideTo(point.x + this.hold);
    else this.place(this.x + point.x - before.x, this.y + point.y - before.y);
    this.pointers.set(event.pointerId, point);
  }

  slideTo(x) {
    const [from, to] = this.span();
    this.slide((x - from) / (to - from));
  }

  pinch(id, before, point) {
    const other = [...this.pointers].find(([key]) => key !== id)[1];
    const distance = (a) => Math.hypot(a.x - other.x, a.y - other.y) || 1;
    this.zoom((this.scale * distance(point)) / distance(before), (point.x + other.x) / 2, (point.y + other.y) / 2);
    this.place(this.x + (point.x - before.x) / 2, this.y + (point.y - before.y) / 2);
  }

  /** The wheel scrolls the page until the view is clicked on; with Ctrl (a pinch on a touchpad) it always zooms. */
  wheel(event) {
    if (!this.left || !(event.ctrlKey || this.stage.contains(document.activeElement))) return;
    event.preventDefault();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 33 : 1;
    const point = this.pointOf(event);
    this.zoom(this.scale * 2 ** (-event.deltaY * lines * (event.ctrlKey ? 0.01 : 0.003)), point.x, point.y);
  }
}

function cssBackground(node) {
  return getComputedStyle(node).backgroundColor;
}

/** |a - b| * gain per channel: {canvas, largest: before the gain, share: of pixels that differ}. */
function differenceOf(a, b, gain) {
  const canvas = new OffscreenCanvas(a.width, a.height);
  const context = canvas.getContext("2d", { alpha: false, willReadFrequently: true });
  const [p, q] = [a, b].map((picture) => {
    context.drawImage(picture, 0, 0);
    return context.getImageData(0, 0, a.width, a.height);
  });
  let [largest, differing] = [0, 0];
  for (let i = 0; i < p.data.length; i += 4) {
    let here = 0;
    for (let c = i; c < i + 3; c++) {
      const distance = Math.abs(p.data[c] - q.data[c]);
      here = Math.max(here, distance);
      p.data[c] = distance * gain; // clamped at 255
    }
    largest = Math.max(largest, here);
    differing += here > 0;
  }
  context.putImageData(p, 0, 0);
  return { canvas, largest, share: differing / (a.width * a.height) };
}
