// The page of `aec bench`: report.json (bench/report.py says what is in it) -> head, plots, tables and viewer.

const report = JSON.parse(textOf("report"));
const pictures = JSON.parse(textOf("pictures"));
const PUBLISHED = " (published)";
const STYLES = stylesOf(report);
const anchors = report.codecs
  .map((codec) => codec.name)
  .filter((name) => report.sets.some((set) => set.curves[name]?.length));
const state = {
  set: report.sets[0],
  metric: report.metrics[0],
  hidden: new Set(),
  logarithmic: false,
  anchor: anchors.includes("jpeg") ? "jpeg" : (anchors[0] ?? "–"),
  quantity: "rate",
};

/** {codec or published curve: how it is drawn}; the same in every set. */
function stylesOf({ codecs, sets }) {
  const styles = {};
  // aec keeps its colour whatever it is measured with.
  const names = codecs.map((codec) => codec.name).sort((a, b) => isAec(b) - isAec(a));
  names.forEach((name, i) => {
    styles[name] = {
      colour: `--c${i % COLOURS}`,
      symbol: SYMBOLS[i % SYMBOLS.length],
      dash: null,
      wide: name === "aec",
    };
  });
  [...new Set(sets.flatMap((set) => Object.keys(set.published)))].forEach((name, i) => {
    styles[name + PUBLISHED] = { colour: "--muted", symbol: "circle", dash: DASHES[i % DASHES.length], wide: false };
  });
  return styles;
}

/** Everything of the set that has a curve, measured before published. */
function curvesOf(set) {
  const measured = report.codecs
    .filter(({ name }) => set.curves[name]?.length)
    .map(({ name }) => [name, set.curves[name]]);
  const published = Object.entries(set.published).map(([name, points]) => [name + PUBLISHED, points]);
  return [...measured, ...published].map(([name, points]) => ({ name, points, style: STYLES[name] }));
}

function isAec(name) {
  return name.startsWith("aec");
}

// ------------------------------------------------------------------ what it comes to

/** A sentence for a set: the first aec (or else the first codec) against every other that was measured. */
function verdict(set) {
  const names = curvesOf(set)
    .filter((curve) => !curve.style.dash)
    .map((curve) => curve.name);
  const subject = names.find((name) => name === "aec") ?? names.find(isAec) ?? names[0];
  const metric = report.metrics.find(({ key }) => Object.values(set.bd[key]?.rate[subject] ?? {}).some(Boolean));
  if (!metric) return `On ${set.name} no two curves overlap: there is nothing to compare.`;
  const against = names.filter((name) => name !== subject && (isAec(subject) ? !isAec(name) : true));
  const found = against.flatMap((name) => {
    const bd = set.bd[metric.key].rate[subject][name];
    return bd ? [{ name, ...bd }] : [];
  });
  found.sort((a, b) => a.value - b.value);
  if (!found.length) return `On ${set.name} there is no BD-rate of ${subject} against another codec.`;
  const over = ({ low, high }) => span(low, high, rangeDigits(metric), metric.unit);
  const ranges = new Set(found.map(over));
  const [low, high] = set.bd[metric.key].range ?? [];
  const whole = ranges.size === 1 ? [...ranges][0] : low !== undefined && over({ low, high });
  const clauses = found.map((bd, i) => {
    const more = `${bd.value < 0 ? "fewer" : "more"}${i ? "" : " bits"}`;
    const where = over(bd) === whole ? "" : ` (${over(bd)})`;
    return `${number(Math.abs(bd.value), 1)}\u00a0% ${more} than ${bd.name}${where}${bd.short ? "*" : ""}`;
  });
  const list = [clauses.slice(0, -1).join(", "), clauses.at(-1)].filter(Boolean).join(" and ");
  const star = found.some((bd) => bd.short) ? " * The curves share a short range only." : "";
  const quality = `${metric.name.split(",")[0]}${whole ? ` of ${whole}` : ""}`;
  const apart = against.filter((name) => !found.some((bd) => bd.name === name));
  const none = apart.length ? ` There is no BD-rate against ${apart.join(" and ")}.` : "";
  return `On ${set.name}, at equal ${quality}, ${subject} needs ${list}.${star}${none}`;
}

function head() {
  const { sets, codecs } = report;
  const images = sets.reduce((sum, set) => sum + set.images.length, 0);
  return el(
    "header",
    {},
    el("h1", {}, "aec bench"),
    sets.map((set) => el("p", { class: "verdict" }, verdict(set))),
    el(
      "p",
      { class: "muted" },
      `${plural(codecs.length, "codec")}, ${plural(images, "image")} in ${plural(sets.length, "set")}: `,
      sets.map((set) => set.name).join(", "),
      ". ",
      dateText(report.date),
      ".",
    ),
    report.notes.length ? notesList(report.notes) : null,
  );
}

function dateText(date) {
  const parsed = new Date(date);
  return Number.isNaN(parsed.getTime()) ? date : `${parsed.toISOString().slice(0, 16).replace("T", " ")} UTC`;
}

// ------------------------------------------------------------------ plots

const rdPlot = el("div", { class: "plot tall", id: "rd", role: "img" });
const encodePlot = el("div", { class: "plot", id: "encode-speed", role: "img" });
const decodePlot = el("div", { class: "plot", id: "decode-speed", role: "img" });
const chips = el("fieldset", { class: "chips" });

function showChips() {
  const toggle = (name, shown) => {
    if (shown) state.hidden.delete(name);
    else state.hidden.add(name);
    showPlots();
  };
  const names = curvesOf(state.set).map((curve) => curve.name);
  const only = (name) => {
    state.hidden = new Set(names.filter((other) => other !== name));
    showChips();
    showPlots();
  };
  const items = curvesOf(state.set).map(({ name, style }) => {
    const swatch = el("i", { style: `--colour: var(${style.colour})`, class: style.dash ? "dashed" : null });
    const input = el("input", {
      type: "checkbox",
      checked: !state.hidden.has(name),
      onchange: () => toggle(name, input.checked),
    });
    return el(
      "label",
      { ondblclick: () => only(name), title: "double click: only this one" },
      input,
      swatch,
      el("span", {}, name),
    );
  });
  const all = el(
    "button",
    {
      type: "button",
      onclick: () => {
        state.hidden.clear();
        showChips();
        showPlots();
      },
    },
    "all",
  );
  chips.replaceChildren(el("legend", {}, "Curves"), ...items, all);
}

function showPlots() {
  const { set, metric, anchor } = state;
  const curves = curvesOf(set).filter((curve) => !state.hidden.has(curve.name));
  const revision = `${set.name} ${metric.key} ${state.logarithmic}`;
  drawRateDistortion(rdPlot, curves, metric, state.logarithmic, revision);
  rdPlot.setAttribute("aria-label", `${metric.name} over bits per pixel on ${set.name}; the numbers are in the tables`);
  for (const [node, key, what] of [
    [encodePlot, "encode_mpx_per_s", "encode"],
    [decodePlot, "decode_mpx_per_s", "decode"],
  ]) {
    const spots = curves.flatMap(({ name, points, style }) => {
      const speed = harmonicMean(points.map((point) => point[key]).filter((value) => value > 0));
      const rate = name === anchor ? 0 : set.bd[metric.key]?.rate[name]?.[anchor]?.value;
      return speed && Number.isFinite(rate) ? [{ name, speed, rate, style }] : [];
    });
    drawSpeed(node, spots, what, anchor, `${revision} ${anchor}`);
    node.setAttribute("aria-label", `speed of ${what} against BD-rate on ${set.name}; the numbers are in the tables`);
  }
}

/** Megapixels in all over seconds in all, for as many pixels at each quality. */
function harmonicMean(values) {
  return values.length && values.length / values.reduce((sum, value) => sum + 1 / value, 0);
}

// ------------------------------------------------------------------ the page

function section(id, title, ...children) {
  return el("section", { id, "aria-labelledby": `${id}-title` }, el("h2", { id: `${id}-title` }, title), ...children);
}

const places = Object.fromEntries(
  ["bd", "range", "size", "curves", "points", "notes"].map((name) => [name, el("div")]),
);
const viewer = pictures.length ? new Viewer(pictures, report.metrics) : null;
const viewerPlace = el("div");

function showTables() {
  places.bd.replaceChildren(bdTable());
  const range = wholeRange();
  const over = range
    ? `, over ${rangeText(...range)}, or the part of it that both curves reach, which is written small`
    : `; small: the ${state.quantity === "rate" ? "qualities" : "rates"} that both curves reach`;
  places.range.replaceChildren(el("p", { class: "muted" }, `Rows against columns${over}; ⚠: that is a short part.`));
  places.size.replaceChildren(sizeTable());
}

function showSet() {
  showChips();
  showPlots();
  showTables();
  const { notes, verdicts } = state.set;
  places.notes.replaceChildren(
    ...verdicts.map((sentence) => el("p", { class: "muted" }, sentence)),
    ...(notes.length ? [notesList(notes)] : []),
  );
  const n = curvesOf(state.set).reduce((sum, curve) => sum + curve.points.length, 0);
  places.curves.replaceChildren(folded(`Mean curves: ${n} points`, () => [curveTable()]));
  places.points.replaceChildren(points());
  const shown = pictures.filter((picture) => picture.set === state.set.name).length;
  const images = state.set.images.length;
  const about =
    shown === 0
      ? "No pictures of this set are in this report."
      : shown < images && `${shown} of ${plural(images, "image")}; with --pictures there are more.`;
  viewerPlace.replaceChildren(
    ...[about && el("p", { class: "muted" }, about), shown && viewer.element].filter(Boolean),
  );
  if (shown) viewer.showSet(state.set.name);
}

function controls() {
  const metrics = report.metrics.map(({ key, name }) => [key, name]);
  const setMetric = (key) => {
    state.metric = report.metrics.find((metric) => metric.key === key);
    showPlots();
    showTables();
  };
  const setAxis = (kind) => {
    state.logarithmic = kind === "log";
    showPlots();
  };
  return el(
    "div",
    { class: "controls" },
    choice("Metric", metrics, state.metric.key, setMetric),
    radios(
      "Rate axis",
      [
        ["linear", "linear"],
        ["log", "log"],
      ],
      "linear",
      setAxis,
    ),
  );
}

function provenance() {
  const facts = [
    ["Command", el("code", {}, report.command)],
    ["Machine", report.machine],
    ["Commit", report.commit || "–"],
    ["Date", dateText(report.date)],
  ];
  const words = (name, key) => ({
    name,
    text: true,
    value: (codec) => codec[key],
    show: (codec) => codec[key] || "–",
  });
  return section(
    "how",
    "How it was measured",
    el(
      "dl",
      { class: "facts" },
      facts.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]),
    ),
    ...report.method.map((sentence) => el("p", { class: "muted" }, sentence)),
    el("p", { class: "muted" }, `Runs: ${report.runs}. Processes that measured at the same time: ${report.jobs}.`),
    sortableTable(
      "codecs and their settings",
      [
        words("codec", "name"),
        words("version", "version"),
        words("settings", "settings"),
        numberColumn("threads", "threads", 0),
      ],
      report.codecs,
    ),
  );
}

function page() {
  const contents = [
    ["quality", "Rate and quality"],
    ["pictures", "Pictures"],
    ["speed", "Speed"],
    ["savings", "BD matrix"],
    ["numbers", "Numbers"],
    ["how", "How it was measured"],
  ];
  const sets = report.sets.map((set) => [set.name, set.name]);
  const setSet = (name) => {
    state.set = report.sets.find((set) => set.name === name);
    showSet();
  };
  const setAnchor = (name) => {
    state.anchor = name;
    showPlots();
  };
  const setQuantity = (quantity) => {
    state.quantity = quantity;
    showTables();
  };
  return [
    head(),
    el(
      "nav",
      { "aria-label": "sections" },
      contents.map(([id, title]) => el("a", { href: `#${id}` }, title)),
    ),
    sets.length > 1 ? radios("Set of images", sets, state.set.name, setSet) : null,
    places.notes,
    section(
      "quality",
      "Rate and quality",
      controls(),
      chips,
      rdPlot,
      el(
        "p",
        { class: "muted" },
        "Drag to zoom, double click to see all; published curves, thin and dashed, are as their authors gave them.",
      ),
    ),
    section(
      "pictures",
      "Pictures",
      el(
        "p",
        { class: "muted" },
        "It opens with aec on the left and, on the right, the rival whose file is nearest in size.",
      ),
      viewerPlace,
    ),
    section(
      "speed",
      "Speed against BD-rate",
      choice(
        "Against",
        anchors.map((name) => [name, name]),
        state.anchor,
        setAnchor,
      ),
      el("div", { class: "pair" }, encodePlot, decodePlot),
      el(
        "p",
        { class: "muted" },
        "Up: smaller files at equal quality; right: faster. Megapixels in all over seconds in all, memory to memory.",
      ),
    ),
    section(
      "savings",
      "BD-rate, each against each",
      radios(
        "Show",
        [
          ["rate", "bits at equal quality"],
          ["quality", "quality at equal bits"],
        ],
        "rate",
        setQuantity,
      ),
      places.bd,
      places.range,
    ),
    section(
      "numbers",
      "Numbers",
      el("h3", {}, "Bits per pixel at a target quality"),
      places.size,
      places.curves,
      places.points,
      report.tables.flatMap(extraTable),
    ),
    provenance(),
  ];
}

await loadPlotly();
document.getElementById("main").replaceChildren(...page().filter(Boolean));
showSet();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  showPlots();
  viewer?.view.draw();
});
