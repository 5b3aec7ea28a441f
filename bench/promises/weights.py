"""A model file holds numbers and nothing else: it cannot run code, and nothing is fetched for it."""

from __future__ import annotations

import ast
import pickle
import tempfile
import zipfile
from pathlib import Path

from PIL import Image

import codec

from .check import Check, Extent, Measured, python
from .pictures import photo


class Hostile:
    """Unpickling it makes a file: what an attacker's code would do."""

    def __init__(self, mark: str):
        self.mark = mark

    def __reduce__(self):
        return (open, (self.mark, "w"))


def hostile_files(folder: Path, mark: Path) -> list[Path]:
    """Pickles in the forms in which weights are often handed on, under names that a model may have."""
    data = [pickle.dumps(Hostile(str(mark)), protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]
    found = []
    for i, pickled in enumerate(data):
        plain, zipped = folder / f"plain{i}.safetensors", folder / f"zipped{i}.pt"
        plain.write_bytes(pickled)
        with zipfile.ZipFile(zipped, "w") as file:  # as torch.save makes it
            file.writestr("archive/data.pkl", pickled)
            file.writestr("archive/version", "3\n")
        found += [plain, zipped]
    return found


def hostile(extent: Extent) -> Measured:
    """Every door that takes weights: encode, decode, collections, `aec train` and `aec models`."""
    refused = 0
    data = codec.encode(photo(32, 32), 50, "cpu")
    with tempfile.TemporaryDirectory() as name:
        mark = Path(name) / "it ran"
        folder = Path(name) / "pictures"
        folder.mkdir()
        for i in range(4):
            Image.fromarray(photo(300, 300, i)).save(folder / f"{i}.png")
        files = hostile_files(Path(name), mark)
        for path in files:
            for call in (
                lambda path=path: codec.encode(photo(32, 32), 50, "cpu", path),
                lambda path=path: codec.decode(data, "cpu", path),
                lambda path=path: codec.features(photo(32, 32), model=path),
            ):
                try:
                    call()
                except codec.ModelError:
                    refused += 1
        doors = 3 * len(files)
        last = files[-2:]
        trained = [
            python("-m", "codec.cli", "train", folder, "-o", f"{name}/new.safetensors", "--minutes", 0, option, path)
            for path in last
            for option in ("--init", "--resume")
        ]
        refused += sum(done.returncode != 0 for done in trained)
        doors += len(trained)
        ran = mark.exists()
    figure = f"{len(files)} hostile pickles at {doors} doors: {refused} refused, {int(ran)} ran"
    return Measured(figure, not ran and refused == doors)


LOADERS = {"load", "loads", "Unpickler"}


def calls(tree: ast.AST):
    """(name with its module or object, keywords) of all calls in a source."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), {word.arg: word.value for word in node.keywords}, node


def sources(extent: Extent) -> Measured:
    """No source of the package unpickles, evaluates text or loads a torch file without weights_only."""
    n, found = 0, []
    for path in sorted(Path(codec.__file__).parent.rglob("*.py")):
        n += 1
        for name, keywords, node in calls(ast.parse(path.read_text(encoding="utf-8"))):
            only = keywords.get("weights_only")
            safe = name == "torch.load" and isinstance(only, ast.Constant) and only.value is True
            first, _, last = name.rpartition(".")
            risky = (
                name in ("eval", "exec") or last in LOADERS and first.split(".")[0] in ("pickle", "torch", "marshal")
            )
            risky |= "allow_pickle" in keywords and ast.unparse(keywords["allow_pickle"]) != "False"
            if risky and not safe:
                found.append(f"{path.name}:{node.lineno} {name}")
    return Measured(f"{n} sources: {len(found)} such calls {', '.join(found)}".strip(), not found)


NETWORK = """
import socket, sys
def refuse(*_, **__):
    raise SystemExit("a socket was opened")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
import numpy as np, codec
image = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
assert codec.decode(codec.encode(image, 50), output="numpy").shape == image.shape
for name in ("nosuch", "00000000"):
    try:
        codec.encode(image, model=name)
    except codec.ModelError:
        continue
    sys.exit("an unknown model was found")
"""


def network(extent: Extent) -> Measured:
    done = python("-c", NETWORK)
    if done.returncode:
        return Measured(done.stderr.strip()[-200:], False)
    return Measured("a picture there and back, and unknown models, without a connection", True)


CHECKS = [
    Check(12, "hostile pickles, under names that models have", hostile),
    Check(12, "all sources, searched for what runs code from files", sources),
    Check(12, "sockets that refuse, while models are used and looked for", network),
]
