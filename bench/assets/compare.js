// The page of `aec compare`: one picture, its encoded files, and the viewer.

const { title, notes, metrics } = JSON.parse(textOf("report"));
const pictures = JSON.parse(textOf("pictures"));

function filesTable({ versions }) {
  const files = versions.filter((version) => version.bytes !== null);
  const measured = metrics
    .map(({ key, name, unit }) => ({
      name: unit ? `${name}, ${unit}` : name,
      value: (file) => file.figures[key] ?? null,
    }))
    .map((column) => ({ ...column, known: files.map(column.value).filter((value) => value !== null) }))
    .filter((column) => column.known.length)
    .map(({ name, value, known }) => ({ name, value, show: (file) => number(value(file), digitsFor(known)) }));
  return sortableTable(
    "files",
    [
      { name: "file", text: true, value: (file) => file.codec, show: labelOf },
      { name: "bytes", value: (file) => file.bytes, show: (file) => number(file.bytes, 0) },
      { name: "bpp", value: (file) => file.bpp, show: (file) => number(file.bpp, 3) },
      ...measured,
    ],
    files,
  );
}

const viewer = new Viewer(pictures, metrics);
document
  .getElementById("main")
  .replaceChildren(
    el("header", {}, el("h1", {}, title), notes.length ? notesList(notes) : ""),
    viewer.element,
    el("section", {}, filesTable(pictures[0])),
  );
viewer.showSet(pictures[0].set);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => viewer.view.draw());
