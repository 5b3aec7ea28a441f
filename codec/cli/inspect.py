"""`aec info`, `aec verify` and `aec doctor`: they describe and check files, and check this machine.

Only `aec verify --deep` and `aec doctor` run a network.
"""

import json
from argparse import Namespace
from dataclasses import replace

from ..coding.model_search import name_of
from ..coding.threads import cores
from ..collection import Collection
from ..container import format
from ..container.collection import is_collection
from ..container.metadata import Metadata, unpacked
from ..conversion import facts_of
from ..io import read_bytes
from ..opened import AecFile
from ..picture.code_points import of_profile, of_stored
from ..picture.code_points import words as words_of
from . import runner, streams
from .jobs import Job, expand, tell_left_out
from .runner import Progress, Row


def info(args: Namespace) -> int:
    def work(job: Job, progress: Progress) -> Row:
        data = read_bytes(job.source)
        own = is_collection(data)
        found = describe_collection(Collection(data)) if own else describe(AecFile(data, max_pixels=None))
        facts = {"file": job.name, **found}
        return Row(
            line="checksums are right", text=json.dumps(facts) if args.as_json else _table(facts, job is jobs[-1])
        )

    jobs = _jobs(args)
    return runner.run(args, jobs, work, done=None)


def _table(facts: dict, last: bool) -> str:
    """Format the facts about a file as lines of text, followed by an empty line unless it is the last file."""
    words = {True: "yes", False: "no"}
    if "metadata" in facts:
        sizes = ", ".join(f"{kind} {n} bytes" for kind, n in facts["metadata"].items())
        facts = facts | {"metadata": sizes or "none"}
    if facts.get("significant_bits"):
        depth = f"{facts['significant_bits']} of {facts['depth']} bits"
        facts = facts | {"depth": depth, "significant_bits": None}
    if facts.get("cicp"):
        facts = facts | {"cicp": words_of(facts["cicp"])}
    if facts["model"]:
        facts = facts | {"model": f"{facts['model_name'] or 'not at hand'} ({facts['model']})", "model_name": None}
    shown = {k: words[v] if isinstance(v, bool) else v for k, v in facts.items() if v is not None}
    width = max(15, *map(len, shown))
    lines = [streams.shown(f"{k.replace('_', ' '):{width}} {v}") for k, v in shown.items()]
    return "\n".join([*lines, *([] if last else [""])])


def describe(file: AecFile) -> dict:
    """Return the facts about a file that `aec info` prints. None: the picture has no such."""
    layout, h = file.layout, file.header
    lengths, told = _metadata(file)
    tiles = {"tiles": h.n_tiles, "tile_side": h.tile}
    network = {
        "quality": h.quality,
        "parts": h.parts,
        "progressive": h.first > 0,
        "quality_map": h.mapped,
        "model": h.model_id.hex(),
        "model_name": name_of(h.model_id),  # None if the model is not available
    }
    return {
        "bytes": file.n_bytes,
        "width": h.width,
        "height": h.height,
        "mode": "gray" if h.gray else "RGB",
        "alpha": h.alpha,
        "depth": h.depth,
        "significant_bits": told.bits,  # None if all are
        "cicp": told.cicp and list(told.cicp),
        "stored": format.stored_kind(layout.payloads[0]) or "unknown" if h.stored else None,
        "max_error": h.quality if h.exact else None,
        **(dict.fromkeys(tiles) if h.stored else tiles),
        **(network if h.by_network else dict.fromkeys(network)),
        "bits_per_pixel": round(8 * file.n_bytes / (h.width * h.height), 4),
        "metadata": lengths,
        "overhead_bytes": layout.overhead_bytes,
        "format_version": format.VERSION,
    }


def describe_collection(collection: Collection) -> dict:
    """Return the facts about a collection that `aec info` prints."""
    h = collection.header
    return {
        "bytes": collection.n_bytes,
        "pictures": h.count,
        "width": h.width,
        "height": h.height,
        "mode": "gray" if h.channels == 1 else "RGB",
        "quality": h.quality,
        "model": h.model_id.hex(),
        "model_name": name_of(h.model_id),
        "bytes_per_picture": round(collection.n_bytes / h.count, 3),
        "bits_per_pixel": collection.bits_per_pixel,
        "named": h.named,
        "pictures_per_block": h.block,
        "blocks": h.n_blocks,
    }


def _metadata(file: AecFile) -> tuple[dict[str, int], Metadata]:
    """Return the bytes of each kind of metadata, and code points and significant bits.

    A stored picture's may be in the PNG, WebP or JPEG file inside.
    """
    sections = file.layout.metadata
    lengths = {kind: section.length for kind, section in sections.items() if kind in format.METADATA}
    if (stored := file.stored_file) is not None and file.layout.own_metadata_counts:
        from ..picture import stored_metadata

        found = stored_metadata.found(stored, file.header.depth)
        lengths |= {kind: len(block) for kind in format.METADATA if (block := getattr(found, kind))}
        return lengths, of_stored(found, sections, file.header)
    of_colour = {kind: section for kind, section in sections.items() if kind in ("icc", "cicp", "bits")}
    found = unpacked(of_colour, file.header.depth)
    return lengths, replace(found, cicp=found.cicp or of_profile(found.icc))


def verify(args: Namespace) -> int:
    def work(job: Job, progress: Progress) -> Row:
        data = read_bytes(job.source)
        if is_collection(data):
            collection = Collection(data, args.model)
            collection.verify(args.deep)
            checked = f"checksums of all {collection.header.n_blocks} blocks of {len(collection)} pictures are right"
            whole = f"whole: {checked}" + (", and all of it can be decoded" if args.deep else "")
            return Row(line=whole, facts={"bytes_in": collection.n_bytes})
        file = AecFile(data, max_pixels=None)
        file.verify(args.deep, args.device, args.model)
        n = file.header.n_tiles
        parts = "the stored picture" if file.header.stored else "its tile" if n == 1 else f"all {n} tiles"
        checked = f"checksums of {parts} are right" + (", and all of it can be decoded" if args.deep else "")
        return Row(line=f"whole: {checked}", facts={"bytes_in": file.n_bytes, **facts_of(file)})

    jobs = _jobs(args)
    workers = min(len(jobs), args.jobs if isinstance(args.jobs, int) else cores())
    return runner.run(args, jobs, work, workers, networks=args.deep, done="whole")


def _jobs(args: Namespace) -> list[Job]:
    sources, left_out = expand(args.inputs, {".aec"}, args.recursive)
    tell_left_out(left_out, {".aec"}, args.quiet)
    return [Job(s.path, None, s.problem) for s in sources]


def doctor(args: Namespace) -> int:
    from .doctor import checks

    words = {True: "ok", False: "FAILED", None: "-"}
    codes = []
    for check in checks():
        streams.say(f"{words[check.ok]:8}{check.name:30} {check.detail}")
        codes.append(check.ok is False)
    return runner.EXIT_SOME_FAILED if any(codes) else 0
