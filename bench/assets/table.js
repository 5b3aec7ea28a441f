// Tables that a click or a key on a column's head sorts.

/**
 * columns: [{name, value(row), show(row) -> text or node, text: true for a column of words, cell(row) -> attributes}]
 * The first column names the row and stays in sight when the table is scrolled sideways.
 */
function sortableTable(label, columns, rows) {
  const body = el("tbody");
  let sorted = null;
  let descending = false;
  const heads = columns.map((column, i) => {
    const button = el("button", { type: "button", onclick: () => sortBy(i) }, column.name);
    return el("th", { scope: "col", class: column.text ? "text" : null, "aria-sort": "none" }, button);
  });

  function fill(order) {
    body.replaceChildren(
      ...order.map((row) =>
        el(
          "tr",
          {},
          columns.map((column, i) => {
            const attributes = { class: column.text ? "text" : null, ...(column.cell ? column.cell(row) : {}) };
            if (i === 0) attributes.scope = "row";
            return el(i === 0 ? "th" : "td", attributes, column.show ? column.show(row) : number(column.value(row)));
          }),
        ),
      ),
    );
  }

  function sortBy(i) {
    descending = sorted === i ? !descending : false;
    sorted = i;
    heads.forEach((head, k) =>
      head.setAttribute("aria-sort", k !== i ? "none" : descending ? "descending" : "ascending"),
    );
    fill([...rows].sort((a, b) => compareValues(columns[i].value(a), columns[i].value(b), descending)));
  }

  fill(rows);
  const table = el("table", {}, el("thead", {}, el("tr", {}, heads)), body);
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, table);
}

/** What is not known goes last either way; "∞" is how an infinite number travels in JSON. */
function compareValues(a, b, descending) {
  const missing = (value) => value === null || value === undefined;
  if (missing(a) || missing(b)) return missing(a) - missing(b);
  const [x, y] = [a, b].map((value) => (value === "∞" ? Infinity : value));
  const numbers = typeof x === "number" && typeof y === "number";
  const order = numbers ? (x > y) - (x < y) : String(x).localeCompare(String(y), "en", { numeric: true });
  return descending ? -order : order;
}

/** A column of row[key], times a scale. */
function numberColumn(name, key, digits, scale = 1) {
  const value = (row) => (typeof row[key] === "number" ? row[key] * scale : row[key]);
  return { name, value, show: (row) => number(value(row), digits) };
}

/** A column for each metric that some row has a figure of. */
function metricColumns(metrics, rows) {
  const isKnown = (key) => rows.some((row) => row[key] !== null && row[key] !== undefined);
  return metrics
    .filter(({ key }) => isKnown(key))
    .map((metric) => numberColumn(withUnit(metric), metric.key, metric.digits));
}

function withUnit({ name, unit }) {
  return unit ? `${name}, ${unit}` : name;
}
