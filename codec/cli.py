"""The `aec` command: arguments, files and messages. No codec logic; torch comes in when a network first runs."""

import argparse
import importlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from . import api, errors, format
from .files import InputError, OutputError, open_picture, read_bytes, refuse_existing, write_bytes

EXIT_SOME_FAILED, EXIT_USAGE, EXIT_INPUT, EXIT_CORRUPT, EXIT_LIMIT, EXIT_MODEL, EXIT_OUTPUT = range(1, 8)
EXIT_INTERRUPTED = 130
FIRST_SLOW_EFFORT = 3  # takes a multiple of the time of those below
IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".avif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".gif", ".jp2"}
EXAMPLES = """examples:
  aec compress photo.png                  photo.aec beside it
  aec compress -q 40 *.jpg -o small/      many files into a folder
  aec compress - < photo.png > photo.aec  standard input and output
  aec decompress photo.aec -o back.png
  aec info photo.aec
  aec train my-photos/ -o my.safetensors --minutes 60
  aec bench my-photos/ -o report/
  aec compare photo.png photo.aec photo.jpg -o compare.html
exit codes: 0 done, 1 some files failed, 2 usage, 3 unreadable input, 4 corrupt or truncated file,
  5 over a limit, 6 model missing or another one, 7 output exists or cannot be written, 130 interrupted"""


# What a file or a machine can bring about (torch says RuntimeError when memory runs out). The rest is a bug of ours.
FAILURES = (errors.AecError, OutputError, InputError, OSError, ValueError, MemoryError, RuntimeError)


@dataclass(frozen=True)
class Job:
    """One file to make. None is standard input or output."""

    source: Path | None
    target: Path | None

    @property
    def name(self) -> str:
        return str(self.source or "standard input")


def exit_code(error: Exception) -> int:
    for kinds, code in (
        (errors.LimitError, EXIT_LIMIT),
        (errors.NotAecError, EXIT_INPUT),
        (errors.FormatError, EXIT_CORRUPT),
        (errors.ModelError, EXIT_MODEL),
        (errors.BackendError, EXIT_USAGE),
        (OutputError, EXIT_OUTPUT),
    ):
        if isinstance(error, kinds):
            return code
    return EXIT_INPUT


def expand(inputs: list[str], suffixes: set[str], recursive: bool) -> list[tuple[Path | None, Path]]:
    """Inputs with folders replaced by the files in them: (path, path relative to the folder that was named)."""
    out: list[tuple[Path | None, Path]] = []
    for name in inputs:
        path = Path(name)
        if name == "-":
            out.append((None, Path("-")))
        elif path.is_dir():
            found = sorted(path.rglob("*") if recursive else path.iterdir())
            found = [p for p in found if p.suffix.lower() in suffixes and p.is_file()]
            if not found:
                raise InputError(f"{path}: no file ending in {', '.join(sorted(suffixes))} in this folder")
            out += [(p, p.relative_to(path)) for p in found]
        else:
            out.append((path, Path(path.name)))
    return out


def plan(args: argparse.Namespace, sources: list[tuple[Path | None, Path]], suffix: str) -> list[Job]:
    """Decide where each file goes. Raises argparse's usage error for a contradiction."""
    output = args.output
    into_folder = output is not None and output != "-" and (output.endswith(os.sep) or Path(output).is_dir())
    several = len(sources) > 1 or any(Path(name).is_dir() for name in args.inputs)
    if several and output is not None and not into_folder:
        if output == "-" or Path(output).suffix:
            args.parser.error(
                f"{len(sources)} inputs or a folder, but -o {output} is one file: name a folder (ending in {os.sep})"
            )
        into_folder = True
    jobs = []
    for source, relative in sources:
        if into_folder:
            target = Path(output) / (Path("stdin") if source is None else relative).with_suffix(suffix)
        elif output == "-" or (output is None and source is None):
            target = None
        else:
            target = Path(output) if output is not None else source.with_suffix(suffix)
        if source is not None and target is not None and target.resolve() == source.resolve():
            args.parser.error(f"{source} would be written onto itself: choose another output with -o")
        jobs.append(Job(source, target))
    seen = set()
    for target in (j.target.resolve() for j in jobs if j.target is not None):
        if target in seen:
            args.parser.error(f"two inputs would both be written to {target}")
        seen.add(target)
    return jobs


def run(args: argparse.Namespace, jobs: list[Job], work: Callable[[Job], str]) -> int:
    """Do all jobs, going on after a failure; `work` returns the line that -v prints."""
    show = args.progress if args.progress is not None else len(jobs) > 1 and sys.stderr.isatty() and not args.quiet
    codes: list[int] = []
    bar, say = _progress(jobs, show)
    for job in bar:
        try:
            line = work(job)
        except FAILURES as e:
            if args.debug:
                raise
            say(f"aec: {job.name}: {e or type(e).__name__}")
            codes.append(exit_code(e))
        else:
            if args.verbose:
                say(line)
    return 0 if not codes else codes[0] if len(jobs) == 1 else EXIT_SOME_FAILED


def _progress(jobs: list[Job], show: bool) -> tuple[Iterable[Job], Callable[[str], None]]:
    """The jobs, under a bar if there is to be one, and what prints a line on stderr without tearing it."""
    if not show:
        return jobs, lambda line: print(line, file=sys.stderr)
    from tqdm import tqdm

    return tqdm(jobs, unit="file", dynamic_ncols=True), lambda line: tqdm.write(line, file=sys.stderr)


@contextmanager
def _share_done(args: argparse.Namespace, job: Job) -> Iterator[Callable[[float], None]]:
    """A bar for one file, for efforts that take their time, where someone may be watching."""
    show = args.progress if args.progress is not None else sys.stderr.isatty() and not args.quiet
    if not show or args.effort < FIRST_SLOW_EFFORT:
        yield lambda share: None
        return
    from tqdm import tqdm

    layout = "{desc}: {percentage:3.0f}% {bar} {elapsed}<{remaining}"
    with tqdm(total=1, desc=job.name, leave=False, dynamic_ncols=True, bar_format=layout) as bar:
        yield lambda share: bar.update(share - bar.n)


def compress(args: argparse.Namespace) -> int:
    def work(job: Job) -> str:
        refuse_existing(job.target, args.force)
        source = read_bytes(job.source)
        picture = open_picture(source)
        with _share_done(args, job) as progress:
            data = api.encode(picture, args.quality, args.device, args.model, effort=args.effort, progress=progress)
        write_bytes(job.target, data, args.force)
        width, height = picture.size
        return (
            f"{job.name}: {width}x{height}, {len(source)} -> {len(data)} bytes "
            f"({len(data) / len(source):.1%}, {8 * len(data) / (width * height):.3f} bits per pixel) "
            f"-> {job.target or 'standard output'}"
        )

    return run(args, plan(args, expand(args.inputs, IMAGE_SUFFIXES, args.recursive), ".aec"), work)


def decompress(args: argparse.Namespace) -> int:
    import io

    def work(job: Job) -> str:
        refuse_existing(job.target, args.force)
        suffix = ".png" if job.target is None else job.target.suffix.lower()
        from PIL import Image

        kind = Image.registered_extensions().get(suffix)
        if kind not in Image.SAVE:
            raise OutputError(f"{job.target}: pictures of kind {suffix or '(no suffix)'} cannot be written; try .png")
        data = read_bytes(job.source)
        picture = api.decode(data, args.device, args.model, max_pixels=args.max_pixels or None)
        buffer = io.BytesIO()
        lossy = {"quality": 95} if kind in ("JPEG", "WEBP", "AVIF") else {}
        try:
            picture.save(buffer, kind, **lossy)
        except (OSError, ValueError) as e:  # JPEG and WebP have limits of their own
            raise OutputError(f"cannot write a picture of {picture.width}x{picture.height} as {kind}: {e}") from e
        write_bytes(job.target, buffer.getvalue(), args.force)
        return f"{job.name}: {len(data)} bytes -> {picture.width}x{picture.height} -> {job.target or 'standard output'}"

    return run(args, plan(args, expand(args.inputs, {".aec"}, args.recursive), ".png"), work)


def info(args: argparse.Namespace) -> int:
    def work(job: Job) -> str:
        data = read_bytes(job.source)
        layout = format.read(data, max_pixels=None)
        h = layout.header
        facts = {
            "file": job.name,
            "bytes": len(data),
            "width": h.width,
            "height": h.height,
            "mode": "gray" if h.gray else "RGB",
            "quality": h.quality,
            "bits_per_pixel": round(8 * len(data) / (h.width * h.height), 4),
            "tiles": len(layout.payloads),
            "tile_side": h.tile,
            "overhead_bytes": layout.overhead_bytes,
            "model": h.model_id.hex(),
            "format_version": format.VERSION,
        }
        if args.json:
            print(json.dumps(facts))
        else:
            print("\n".join(f"{k.replace('_', ' '):15} {v}" for k, v in facts.items()))
        return f"{job.name}: checksums are right"

    return run(args, [Job(source, None) for source, _ in expand(args.inputs, {".aec"}, False)], work)


def train(args: argparse.Namespace) -> int:
    from . import train as training

    output = Path(args.output)
    if output.suffix != ".safetensors":
        args.parser.error(f"-o {output}: a model's name ends in .safetensors")
    if args.anew and args.init is None:
        args.parser.error("--anew needs --init: it begins nets of that checkpoint again")
    refuse_existing(output, args.force or args.resume is not None)
    if args.resume is None:
        checkpoint = training.checkpoint_path(output)
        if checkpoint.exists() and not args.force:
            raise OutputError(f"{checkpoint} exists already: --resume goes on from it, -f overwrites it")
    options = training.Options(
        minutes=args.minutes,
        config=args.config,
        batch=args.batch,
        learning_rate=args.learning_rate,
        device=args.device,
        seed=args.seed,
        only=tuple(args.only),
    )
    report = (lambda line: None) if args.quiet else (lambda line: print(line, file=sys.stderr, flush=True))
    holdout = Path(args.holdout) if args.holdout else None
    resume, init = (path and Path(path) for path in (args.resume, args.init))
    training.main([Path(p) for p in args.data], output, options, resume, init, args.anew, holdout, report)
    return 0


def bench(args: argparse.Namespace) -> int:
    return _bench_module(".bench").main(args.rest)


def compare(args: argparse.Namespace) -> int:
    comparison = _bench_module(".bench.compare")
    target = None if args.output == "-" else Path(args.output)
    original, *others = (Job(Path(name), target) for name in (args.original, *args.files))
    if target is not None and target.resolve() in [job.source.resolve() for job in (original, *others)]:
        args.parser.error(f"{target} would be replaced by the page: choose another output with -o")
    refuse_existing(target, args.force)
    files = []

    def work(job: Job) -> str:
        file = comparison.read(job.source, args.device, args.model, files[0] if files else None)
        files.append(file)
        return f"{job.name}: {file.n_bytes} bytes"

    code = run(args, [original], work) or run(args, others, work)
    if not code:
        write_bytes(target, comparison.page(files[0], files[1:]), args.force)
    return code


def _bench_module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name, __package__)
    except ModuleNotFoundError as e:
        if e.name != f"{__package__}.bench":
            raise
        raise InputError("the bench is part of an installed aec only; in the tree, run python -m bench") from e


def version() -> str:
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    from . import _C

    try:
        number = installed("aec-codec")
    except PackageNotFoundError:  # built in place, not installed
        number = "(not installed)"
    return f"aec {number}, format {format.VERSION}, CUDA {_C.cuda_archs() if _C.cuda_built() else 'not built in'}"


class _Version(argparse.Action):
    def __call__(self, parser, *_):
        print(version())
        parser.exit()


def quality(text: str) -> int:
    return _int_of(text, api.QUALITIES)


def effort(text: str) -> int:
    return _int_of(text, api.EFFORTS)


def _int_of(text: str, allowed: range) -> int:
    value = int(text)
    if value not in allowed:
        raise argparse.ArgumentTypeError(f"{value}: allowed are {allowed[0]}..{allowed[-1]}")
    return value


def device(text: str) -> str:
    if text not in ("auto", "cpu", "cuda") and not (text.startswith("cuda:") and text[5:].isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r}: allowed are auto, cpu, cuda and cuda:N")
    return text


def count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value}: must be at least 1")
    return value


def positive(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{text}: must be above 0")
    return value


def make_parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("aec", description="A learned image codec.", epilog=EXAMPLES, formatter_class=raw)
    parser.add_argument("-V", "--version", action=_Version, nargs=0, help="print the version and what was built in")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    talk = argparse.ArgumentParser(add_help=False)
    talk.add_argument("-v", "--verbose", action="store_true", help="a line for each file")
    talk.add_argument("--quiet", action="store_true", help="no progress bar; errors only")
    talk.add_argument("--progress", action=argparse.BooleanOptionalAction, help="progress bar (default: on a terminal)")
    talk.add_argument("--debug", action="store_true", help="show where an error came from")
    files = argparse.ArgumentParser(add_help=False)
    files.add_argument("inputs", nargs="+", metavar="IN", help="file, folder, or - for standard input")
    files.add_argument(
        "-o", "--output", metavar="OUT", help="file, folder (must be one for several inputs), or - for standard output"
    )
    files.add_argument("-f", "--force", action="store_true", help="overwrite")
    files.add_argument("-r", "--recursive", action="store_true", help="folders with all that is below them")
    model = argparse.ArgumentParser(add_help=False)
    model.add_argument("--device", type=device, default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    model.add_argument(
        "--model", metavar="NAME|FILE", help="another model than the default, or than the one the file names"
    )

    p = commands.add_parser("compress", parents=[files, model, talk], help="pictures -> .aec files")
    p.add_argument(
        "-q", "--quality", type=quality, default=75, metavar="1..100", help="1 smallest, 100 best (default: 75)"
    )
    p.add_argument(
        "-e",
        "--effort",
        type=effort,
        default=2,
        metavar=f"{api.EFFORTS[0]}..{api.EFFORTS[-1]}",
        help="1: every latent to its nearest symbol; 2: zeros where they save more bits than they cost in error: files "
        "10 %% smaller at equal PSNR; 3..9: try symbols out, 1 to 16 decodings, a little smaller still (default: 2)",
    )
    p.set_defaults(run=compress, parser=p)

    p = commands.add_parser(
        "decompress", parents=[files, model, talk], help=".aec files -> pictures (.png unless -o says otherwise)"
    )
    p.add_argument(
        "--max-pixels",
        type=int,
        default=format.DEFAULT_MAX_PIXELS,
        metavar="N",
        help="refuse larger pictures (0: no limit)",
    )
    p.set_defaults(run=decompress, parser=p)

    p = commands.add_parser("info", parents=[talk], help="what an .aec file says, and whether it is whole")
    p.add_argument("inputs", nargs="+", metavar="IN", help=".aec file, folder, or - for standard input")
    p.add_argument("--json", action="store_true", help="one JSON object per file")
    p.set_defaults(run=info, parser=p)

    p = commands.add_parser("train", help="pictures -> a model of your own")
    p.add_argument("data", nargs="+", metavar="DATA", help="folder of pictures, or tar shards of them")
    p.add_argument(
        "-o", "--output", required=True, metavar="MODEL", help="model file, .safetensors; checkpoints go beside it"
    )
    p.add_argument(
        "--minutes", type=positive, required=True, help="budget in all, that of --resume's checkpoint included"
    )
    start = p.add_mutually_exclusive_group()
    start.add_argument("--resume", metavar="CHECKPOINT", help="go on from here")
    start.add_argument("--init", metavar="CHECKPOINT", help="a new run that begins with these weights")
    transforms = ("analysis", "synthesis")
    p.add_argument(
        "--anew", nargs="+", choices=transforms, default=[], help="of --init's, begin the blocks of these nets again"
    )
    p.add_argument(
        "--only", nargs="+", choices=(*transforms, "hyper_analysis", "entropy"), default=[], help="train no other nets"
    )
    p.add_argument(
        "--config", choices=("small", "base"), default="base", help="default: base; --resume keeps the checkpoint's"
    )
    p.add_argument(
        "--holdout", metavar="PATH", help="pictures for the figures at the end (default: a fiftieth of DATA)"
    )
    p.add_argument("--device", type=device, default="auto", help="auto, cpu or cuda:N")
    p.add_argument("--batch", type=count, default=16, help="crops per step (default: 16)")
    p.add_argument("--learning-rate", type=positive, default=1e-3, help="peak (default: 1e-3)")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("-f", "--force", action="store_true", help="overwrite the model")
    p.add_argument("--quiet", action="store_true", help="no progress")
    p.add_argument("--debug", action="store_true", help="show where an error came from")
    p.set_defaults(run=train, parser=p)

    p = commands.add_parser(
        "bench", help="rate-distortion and speed against JPEG and others (aec bench --help)", add_help=False
    )
    p.set_defaults(run=bench, parser=p, debug=False)

    p = commands.add_parser(
        "compare", parents=[model, talk], help="a picture and files made of it -> a page to look at them side by side"
    )
    p.add_argument("original", metavar="ORIGINAL", help="picture")
    p.add_argument("files", nargs="+", metavar="FILE", help=".aec, JPEG, WebP, AVIF or what else Pillow can read")
    p.add_argument("-o", "--output", metavar="HTML", default="compare.html", help="default: compare.html; - for stdout")
    p.add_argument("-f", "--force", action="store_true", help="overwrite")
    p.set_defaults(run=compare, parser=p)
    return parser


def main(argv: list[str] | None = None) -> int:
    parser = make_parser()
    args, rest = parser.parse_known_args(argv)
    if args.command == "bench":
        args.rest = rest
    elif rest:
        args.parser.error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        return args.run(args)
    except KeyboardInterrupt:
        print("aec: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except FAILURES as e:
        if args.debug:
            raise
        print(f"aec: {e}", file=sys.stderr)
        return exit_code(e)


if __name__ == "__main__":
    sys.exit(main())
