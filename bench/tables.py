"""Writes and reads the tables of other benchmarks as JSON, so that `aec bench` can include them in its report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from codec.io import write_bytes


def write_table(
    path: Path, title: str, note: str, columns: Sequence[str], rows: Sequence[Sequence[str | float]]
) -> None:
    """Write a table. `note` must tell the machine, commit, date and command, which the report does not know."""
    table = {"title": title, "note": note, "columns": list(columns), "rows": [list(row) for row in rows]}
    write_bytes(path, (json.dumps(table, indent=1) + "\n").encode(), force=True)


def read_table(path: Path) -> dict[str, object]:
    """Read a table that `write_table` has written.

    Raises:
        OSError: the file cannot be read.
        ValueError: the file is not such a table.
    """
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not JSON: {error}") from None
    columns, rows = (table.get("columns"), table.get("rows")) if isinstance(table, dict) else (None, None)
    if not (
        isinstance(columns, list)
        and isinstance(rows, list)
        and all(isinstance(table.get(key), str) for key in ("title", "note"))
        and all(isinstance(row, list) and len(row) == len(columns) for row in rows)
    ):
        raise ValueError(f"{path}: not a table: expected title, note, columns, and rows of as many cells as columns")
    return {key: table[key] for key in ("title", "note", "columns", "rows")}
