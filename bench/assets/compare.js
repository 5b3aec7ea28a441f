// The page of `aec compare`: one picture, its encoded files, and the viewer.

const { title, notes, metrics } = JSON.parse(textOf("report"));
const pictures = JSON.parse(textOf("pictures"));

function filesTable({ versions }) {
  const files = versions
    .filter((version) => version.bytes !== null)
    .map((version) => ({ file: labelOf(version), ...version, ...version.figures }));
  return sortableTable(
    "files",
    [
      { name: "file", text: true, value: (row) => row.file, show: (row) => row.file },
      numberColumn("bytes", "bytes", 0),
      numberColumn("bpp", "bpp", 3),
      ...metricColumns(metrics, files),
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
