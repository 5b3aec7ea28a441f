// The tables of the report, of the set and metric that `state` (report.js) names.

function peakColumns(points) {
  return [
    ["peak encode, MB", "encode_peak_bytes"],
    ["peak decode, MB", "decode_peak_bytes"],
  ]
    .filter(([, key]) => points.some((point) => point[key]))
    .map(([name, key]) => numberColumn(name, key, 0, 1e-6));
}

function bdTable() {
  const { set, metric, quantity } = state;
  const matrix = set.bd[metric.key]?.[quantity] ?? {};
  const names = curvesOf(set).map((curve) => curve.name);
  const columns = names
    .filter((anchor) => Object.values(matrix).some((row) => row[anchor] !== undefined))
    .map((anchor) => {
      const found = (name) => (name === anchor ? null : (matrix[name]?.[anchor] ?? null));
      return {
        name: `vs ${anchor}`,
        value: (name) => found(name)?.value ?? null,
        show: (name) => (name === anchor ? "·" : bdCell(found(name))),
        cell: (name) => bdLook(found(name)),
      };
    });
  const first = {
    name: quantity === "rate" ? "BD-rate, %" : `BD-${withUnit(metric)}`,
    text: true,
    value: (name) => name,
    show: (name) => name,
  };
  return sortableTable(`BD matrix of ${set.name}`, [first, ...columns], names);
}

/** The range of qualities that a BD-rate is to be taken over, if there is one: [low, high] or null. */
function wholeRange() {
  return state.quantity === "rate" ? (state.set.bd[state.metric.key]?.range ?? null) : null;
}

function rangeDigits(metric) {
  return Math.max(0, metric.digits - 1);
}

/** A BD-rate is taken over qualities, a BD-quality over rates. */
function rangeText(low, high) {
  const { metric, quantity } = state;
  const [digits, unit] = quantity === "quality" ? [2, "bpp"] : [rangeDigits(metric), metric.unit];
  return span(low, high, digits, unit);
}

function bdCell(bd) {
  if (!bd) return "–";
  const digits = state.quantity === "rate" ? 1 : state.metric.digits;
  const whole = wholeRange()?.every((end, i) => Math.abs(end - [bd.low, bd.high][i]) < 1e-6);
  const range = whole ? null : el("small", {}, rangeText(bd.low, bd.high));
  const warning = bd.short ? el("span", { class: "warn", role: "img", "aria-label": "short overlap" }, "⚠ ") : null;
  return el("span", {}, warning, number(bd.value, digits, true), range);
}

function bdLook(bd) {
  if (!bd) return { class: "bd" };
  const better = state.quantity === "rate" ? bd.value < 0 : bd.value > 0;
  const full = state.quantity === "rate" ? 60 : largestQuality();
  const strength = Math.round(45 * Math.min(1, Math.abs(bd.value) / full));
  const title = `the curves share ${rangeText(bd.low, bd.high)}${bd.short ? ": a short range, read with care" : ""}`;
  const style = `--strength: ${strength}%; --tint: var(${better ? "--better" : "--worse"})`;
  return { class: "bd", style, title };
}

function largestQuality() {
  const all = Object.values(state.set.bd[state.metric.key].quality).flatMap((row) => Object.values(row));
  return Math.max(1e-9, ...all.map((bd) => Math.abs(bd?.value ?? 0)));
}

function sizeTable() {
  const { set, metric } = state;
  const rows = set.size_at[metric.key] ?? [];
  const names = [...new Set(rows.flatMap((row) => Object.keys(row.bpp)))];
  const best = (row) => Math.min(...Object.values(row.bpp).filter(Number.isFinite));
  const first = {
    name: withUnit(metric),
    value: (row) => row.target,
    show: (row) => number(row.target, metric.digits),
  };
  const columns = names.map((name) => ({
    name,
    value: (row) => row.bpp[name] ?? null,
    show: (row) => number(row.bpp[name], 3),
    cell: (row) => ({ class: row.bpp[name] === best(row) ? "best" : null }),
  }));
  return rows.length
    ? sortableTable(`size at a target quality on ${set.name}`, [first, ...columns], rows)
    : el("p", {}, "Not computed for this metric.");
}

function curveTable() {
  const rows = curvesOf(state.set).flatMap(({ name, points }) => points.map((point) => ({ codec: name, ...point })));
  return sortableTable(
    `mean curves of ${state.set.name}`,
    [
      { name: "codec", text: true, value: (row) => row.codec, show: (row) => row.codec },
      numberColumn("quality", "quality", 0),
      numberColumn("bpp", "bpp", 4),
      ...metricColumns(report.metrics, rows),
      numberColumn("encode, MP/s", "encode_mpx_per_s", 2),
      numberColumn("decode, MP/s", "decode_mpx_per_s", 2),
      ...peakColumns(rows),
    ],
    rows,
  );
}

function pointTable(image) {
  const rows = state.set.points.filter((point) => image === "" || point.image === image);
  return sortableTable(
    `every file of ${state.set.name}`,
    [
      { name: "image", text: true, value: (row) => row.image, show: (row) => row.image },
      { name: "codec", text: true, value: (row) => row.codec, show: (row) => row.codec },
      numberColumn("quality", "quality", 0),
      numberColumn("bytes", "bytes", 0),
      numberColumn("bpp", "bpp", 4),
      ...metricColumns(report.metrics, rows),
      numberColumn("encode, ms", "encode_s", 1, 1000),
      numberColumn("decode, ms", "decode_s", 1, 1000),
      ...peakColumns(rows),
    ],
    rows,
  );
}

/** What is long is built when it is first looked at. */
function folded(summary, build) {
  const box = el("div");
  const details = el(
    "details",
    {
      ontoggle: () => {
        if (details.open && !box.hasChildNodes()) box.append(...build());
      },
    },
    el("summary", {}, summary),
    box,
  );
  return details;
}

function points() {
  const { set } = state;
  const place = el("div");
  const show = (image) => place.replaceChildren(pointTable(image));
  const options = [
    ["", "all"],
    ...set.images.map(({ name, width, height }) => [name, `${name} (${width} × ${height})`]),
  ];
  return folded(`Every file: ${number(set.points.length, 0)} of ${plural(set.images.length, "image")}`, () => {
    show(options[1]?.[0] ?? "");
    return [choice("image", options, options[1]?.[0] ?? "", show), place];
  });
}

function extraTable({ title, note, columns, rows }) {
  const made = columns.map((name, i) => {
    const values = rows.map((row) => row[i]).filter((value) => typeof value === "number");
    const digits = values.every(Number.isInteger) ? 0 : values.every((value) => Math.abs(value) < 10) ? 3 : 1;
    return { name, text: !values.length, value: (row) => row[i], show: (row) => number(row[i], digits) };
  });
  return [el("h3", {}, title), note ? el("p", { class: "muted" }, note) : null, sortableTable(title, made, rows)];
}
