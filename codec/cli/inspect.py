"""`aec info`, `verify` and `doctor`: what files and this machine are like. Only what is deep runs a network."""

import json
from argparse import Namespace

from ..coding.threads import cores
from ..container import format
from ..io import read_bytes
from . import runner, streams
from .jobs import Job, expand, tell_left_out
from .runner import Progress, Row


def info(args: Namespace) -> int:
    def work(job: Job, progress: Progress) -> Row:
        facts = {"file": job.name, **describe(read_bytes(job.source))}
        return Row(
            line="checksums are right", text=json.dumps(facts) if args.as_json else _table(facts, job is jobs[-1])
        )

    jobs = _jobs(args)
    return runner.run(args, jobs, work)


def _table(facts: dict, last: bool) -> str:
    """With an empty line below it, unless it is the last."""
    sizes = ", ".join(f"{kind} {n} bytes" for kind, n in facts["metadata"].items())
    facts = facts | {"metadata": sizes or "none", "alpha": "yes" if facts["alpha"] else "no"}
    lines = [streams.shown(f"{k.replace('_', ' '):15} {v}") for k, v in facts.items() if v is not None]
    return "\n".join([*lines, *([] if last else [""])])


def describe(data: bytes) -> dict:
    """What a file says of itself; None for what a stored picture has not. Raises FormatError."""
    layout = format.read(data, max_pixels=None)
    h = layout.header
    coded = {"quality": h.quality, "tiles": len(layout.payloads), "tile_side": h.tile, "model": h.model_id.hex()}
    return {
        "bytes": len(data),
        "width": h.width,
        "height": h.height,
        "mode": "gray" if h.gray else "RGB",
        "alpha": h.alpha,
        "depth": h.depth,
        "stored": format.stored_kind(layout.payloads[0]) or "unknown" if h.stored else None,
        **(dict.fromkeys(coded) if h.stored else coded),
        "bits_per_pixel": round(8 * len(data) / (h.width * h.height), 4),
        "metadata": {kind: section.length for kind, section in layout.metadata.items()},
        "overhead_bytes": layout.overhead_bytes,
        "format_version": format.VERSION,
    }


def verify(args: Namespace) -> int:
    def work(job: Job, progress: Progress) -> Row:
        data = read_bytes(job.source)
        layout = format.read(data, max_pixels=None)
        for section in layout.metadata.values():
            section.unpack()
        if args.deep:
            _decode_all(layout, args)
        return Row(line="whole", facts={"bytes_in": len(data), **runner.facts_of(layout.header, len(data))})

    jobs = _jobs(args)
    workers = min(len(jobs), args.jobs if isinstance(args.jobs, int) else cores())
    return runner.run(args, jobs, work, workers, networks=args.deep)


def _decode_all(layout: format.Layout, args: Namespace) -> None:
    """All but the pixels that a network makes. Raises CorruptError, or ModelError as `decoder.load_for`."""
    from ..picture import alpha, stored

    header = layout.header
    if header.stored:
        stored.decode(layout)
        return
    from ..coding import decoder
    from ..coding.device import resolve_device

    reader = decoder.load_for(header.model_id, args.model, resolve_device(args.device))
    for _ in decoder.read_latents(reader, header, layout.payloads):
        pass
    if header.alpha:
        alpha.decode(header, layout.alphas, format.Tile(0, 0, header.width, header.height))


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
