// Elements, data and numbers. Text enters the page as text nodes only, so no file name can become markup.

/** el("p", {class: "note", onclick: f}, "text", node, null): attributes that are null or false are left out. */
function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value !== null && value !== undefined && value !== false)
      node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

function textOf(id) {
  return document.getElementById(id).textContent;
}

const NUMBERS = new Map();

/** 1234.5 -> "1,234.50"; null -> "–"; what is text already stays. */
function number(value, digits = 2, sign = false) {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number") return String(value);
  const key = `${digits}${sign}`;
  if (!NUMBERS.has(key)) {
    const signDisplay = sign ? "exceptZero" : "auto";
    const options = { minimumFractionDigits: digits, maximumFractionDigits: digits, signDisplay };
    NUMBERS.set(key, new Intl.NumberFormat("en", options));
  }
  return NUMBERS.get(key).format(value).replace("-", "−");
}

/** "29.5–37.3 dB" */
function span(low, high, digits, unit) {
  return `${number(low, digits)}–${number(high, digits)}${unit && ` ${unit}`}`;
}

/** Remarks, folded where they are many. */
function notesList(notes) {
  const list = el(
    "ul",
    { class: "notes" },
    notes.map((note) => el("li", {}, note)),
  );
  return notes.length > 3 ? el("details", { class: "notes" }, el("summary", {}, `${notes.length} notes`), list) : list;
}

function plural(count, what) {
  return `${number(count, 0)} ${what}${count === 1 ? "" : "s"}`;
}

/** A labelled drop-down; options: [value, text] pairs. */
function choice(label, options, value, onchange) {
  const items = options.map(([key, text]) => el("option", { value: key, selected: key === value }, text));
  const select = el("select", { onchange: () => onchange(select.value) }, items);
  return el("label", { class: "choice" }, el("span", {}, label), select);
}

let radioGroups = 0;

/** A row of buttons of which one is pressed; options: [value, text] pairs. */
function radios(label, options, value, onchange) {
  const name = `radio-${radioGroups++}`;
  const items = options.map(([key, text]) => {
    const input = el("input", {
      type: "radio",
      name,
      value: key,
      checked: key === value,
      onchange: () => onchange(key),
    });
    return el("label", {}, input, el("span", {}, text));
  });
  return el("fieldset", { class: "radios" }, el("legend", {}, label), items);
}
