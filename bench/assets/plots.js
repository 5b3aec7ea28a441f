// The plots: data -> what Plotly draws. Colours come from the style sheet, so that they follow the colour scheme.

const SYMBOLS = [
  "circle",
  "square",
  "diamond",
  "triangle-up",
  "cross",
  "x",
  "triangle-down",
  "star",
  "hexagon",
  "bowtie",
];
const DASHES = ["dot", "dash", "dashdot", "longdash"];
const COLOURS = 10;

/** The library travels compressed: a quarter of its size. */
async function loadPlotly() {
  const text = atob(textOf("plotly"));
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i); // Uint8Array.from() takes half a second for this
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(stream).text();
  document.head.append(script);
}

const LOGARITHMIC = { type: "log", minorloglabels: "complete" };

function cssColour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** Plotly takes some markup in texts. */
function plain(text) {
  return String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

function layoutOf(x, y, revision) {
  const line = cssColour("--line");
  const axis = {
    gridcolor: line,
    linecolor: line,
    zeroline: false,
    ticks: "outside",
    tickcolor: line,
    automargin: true,
  };
  const titled = (given) => ({
    ...axis,
    ...given,
    title: { text: plain(given.title), standoff: 8, font: { size: 13 } },
  });
  const fingers = matchMedia("(pointer: coarse)").matches;
  return {
    xaxis: titled(x),
    yaxis: titled(y),
    uirevision: revision, // a zoom stays for as long as this does
    showlegend: false,
    hovermode: "closest",
    // A finger that drags scrolls the page; the plot's buttons zoom.
    dragmode: fingers ? false : "zoom",
    margin: { l: 8, r: 12, t: fingers ? 36 : 8, b: 8 }, // the buttons are always in sight then
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: cssColour("--text") },
    hoverlabel: {
      bgcolor: cssColour("--raised"),
      bordercolor: line,
      font: { color: cssColour("--text") },
      align: "left",
    },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: cssColour("--muted"), activecolor: cssColour("--text") },
  };
}

const CONFIG = {
  responsive: true,
  displaylogo: false,
  doubleClick: "reset",
  // These and no others: among Plotly's own choice is a button that uploads the data.
  modeBarButtons: [["toImage", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]],
};

function draw(node, traces, layout) {
  return Plotly.react(node, traces, layout, CONFIG);
}

function isPoint(metric) {
  return (point) => Number.isFinite(point[metric]) && point.bpp > 0;
}

/** curves: [{name, points, style: {colour, symbol, dash or null if measured, wide}}], those to be seen. */
function drawRateDistortion(node, curves, metric, logarithmic, revision) {
  const drawn = curves.map((curve) => ({ ...curve, points: curve.points.filter(isPoint(metric.key)) }));
  const unit = metric.unit ? ` ${metric.unit}` : "";
  const figures = `%{x:.3f} bpp · %{y:.${metric.digits}f}${plain(unit)}`;
  const traces = drawn.map(({ name, points, style }) => ({
    name: plain(name),
    x: points.map((point) => point.bpp),
    y: points.map((point) => point[metric.key]),
    customdata: points.map((point) => (point.quality === undefined ? "" : ` · quality ${point.quality}`)),
    hovertemplate: `<b>%{fullData.name}</b>%{customdata}<br>${figures}<extra></extra>`,
    mode: style.dash ? "lines" : "lines+markers",
    line: {
      color: cssColour(style.colour),
      width: style.dash ? 1.2 : style.wide ? 3 : 1.8,
      dash: style.dash ?? "solid",
    },
    marker: { symbol: style.symbol, size: style.wide ? 9 : 7 },
  }));
  const measured = drawn.filter((curve) => !curve.style.dash).flatMap((curve) => curve.points);
  const x = { title: "bits per pixel", ...(logarithmic ? LOGARITHMIC : {}), range: rateRange(measured, logarithmic) };
  const y = {
    title: withUnit(metric),
    range: padded(measured.map((p) => p[metric.key])),
  };
  return draw(node, traces, layoutOf(x, y, revision));
}

/** Published curves must not stretch the axes: what was measured says where to look. */
function rateRange(points, logarithmic) {
  const rates = points.map((point) => point.bpp);
  if (!rates.length) return undefined;
  return logarithmic ? padded(rates.map(Math.log10)) : [0, 1.04 * Math.max(...rates)];
}

/** The values' range, widened by a share of it; none: Plotly's own choice. */
function padded(values, share = 0.05) {
  if (!values.length) return undefined;
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const room = share * (high - low) || 0.5;
  return [low - room, high + room];
}

/** spots: [{name, speed in MP/s, rate in percent, style}]. Up and to the right is better. */
function drawSpeed(node, spots, what, anchor, revision) {
  const speeds = padded(
    spots.map((spot) => Math.log10(spot.speed)),
    0.15,
  );
  const rates = padded(
    spots.map((spot) => spot.rate),
    0.15,
  )?.reverse();
  const along = (value, [low, high], length) => ((value - low) / (high - low)) * length;
  const centres = spots.map(({ name, speed, rate }) => ({
    x: along(Math.log10(speed), speeds, node.clientWidth - 80), // less the room for the axes, about
    y: along(rate, rates, node.clientHeight - 60),
    width: 7.5 * name.length,
  }));
  const places = placeNames(centres);
  const traces = spots.map(({ name, speed, rate, style }, i) => ({
    name: plain(name),
    x: [speed],
    y: [rate],
    mode: "markers+text",
    text: [plain(name)],
    textposition: places[i],
    cliponaxis: false,
    hovertemplate: `<b>%{fullData.name}</b><br>${what} %{x:.3~g} MP/s<br>BD-rate %{y:+.1f} %<extra></extra>`,
    marker: { symbol: style.symbol, size: style.wide ? 13 : 10, color: cssColour(style.colour) },
  }));
  // Over several decades the digits between 5 and 10 would run into each other.
  const x = { title: `${what}, MP/s`, ...LOGARITHMIC, dtick: "D2", range: speeds };
  const y = { title: `BD-rate against ${anchor}, %`, range: rates };
  return draw(node, traces, layoutOf(x, y, revision));
}

const NAME_PLACES = {
  "top center": [-0.5, 14],
  "bottom center": [-0.5, -14],
  "middle right": [0.1, 0],
  "middle left": [-1.1, 0],
};

/** Plotly writes names over each other. centres: [{x, y, width of the name}] in pixels -> a textposition for each. */
function placeNames(centres) {
  const taken = centres.map(({ x, y }) => ({ left: x - 6, right: x + 6, y }));
  return centres.map(({ x, y, width }, i) => {
    const boxes = Object.entries(NAME_PLACES).map(([place, [shift, up]]) => {
      const gap = 8 * Math.sign(shift + 0.5); // beside the mark, not on it
      return { place, left: x + shift * width + gap, right: x + (shift + 1) * width + gap, y: y + up };
    });
    const meets = (a, b) => a.left < b.right && b.left < a.right && Math.abs(a.y - b.y) < 13;
    const hit = (box) => (box.left < 0) + taken.filter((other, k) => k !== i && meets(box, other)).length;
    const best = boxes.reduce((a, b) => (hit(b) < hit(a) ? b : a));
    taken.push(best);
    return best.place;
  });
}
