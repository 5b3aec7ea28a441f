"""A hook of MkDocs: it brings the pages of the repository into the site, and what they link to.

They keep their paths, so that a link that works on a code host works here too. Beginning with the pages in `nav`, the
files that they link to come along. A link to a folder, or to a file that this copy of the repository does not have, is
left as its words.
"""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
# A line inside a list: of a list below an item, or a paragraph of an item. Python-Markdown wants four spaces.
INSIDE_ITEM = re.compile(r"^ {2,3}(?=\S)", re.MULTILINE)
# The end of a line at the margin that is no item of a list, before an item that is the first of one.
LIST_BELOW_TEXT = re.compile(r"(?<=\n)(?![-*] |[#|>\s]|\d+\. )([^\n]+)\n(?=[-*] |[01]\. )")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    own = set(files.src_uris)
    waiting = [path for path in _paths(config.nav) if path not in own]
    seen = set()
    while waiting:
        path = waiting.pop()
        if path in seen or path.startswith(".") or not (ROOT / path).is_file():
            continue
        seen.add(path)
        files.append(File.generated(config, path, abs_src_path=str(ROOT / path)))
        if path.endswith(".md"):
            text = CODE.sub("", (ROOT / path).read_text())
            waiting += [found for _, _, link in LINK.findall(text) if (found := _target(path, link)) is not None]
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    def kept(found: re.Match) -> str:
        target = _target(page.file.src_uri, found[3])
        return found[0] if target is None or target in files.src_uris else found[2]

    parts, at = [], 0
    linked = LINK.sub(kept, markdown)
    for code in CODE.finditer(linked):
        parts += [_as_code_hosts_read(linked[at : code.start()]), code[0]]
        at = code.end()
    return "".join([*parts, _as_code_hosts_read(linked[at:])])


def _as_code_hosts_read(text: str) -> str:
    """Write what Python-Markdown reads in another way: lists below paragraphs and in lists, and indices, a[i][j]."""
    return INSIDE_ITEM.sub("    ", LIST_BELOW_TEXT.sub(r"\1\n\n", text)).replace("][", r"]\[")


def _paths(nav: list | dict | str) -> list[str]:
    if isinstance(nav, str):
        return [nav]
    return [path for item in (nav.values() if isinstance(nav, dict) else nav) for path in _paths(item)]


def _target(page: str, link: str) -> str | None:
    """Return the path in the repository that a link of a page leads to; None if it leads elsewhere."""
    path = link.partition("#")[0]
    if not path or "://" in path or path.startswith("mailto:"):
        return None
    target = (ROOT / page).parent.joinpath(path).resolve()
    return target.relative_to(ROOT).as_posix() if target.is_relative_to(ROOT) else None
