"""The `aec` command: its argument parser, and the translation of errors into messages and exit codes.

The commands are in other modules of this package, which are imported when they run. So torch is only imported by
commands that need it.
"""

import argparse
import importlib
import logging
import os
import sys
import warnings
from collections.abc import Callable
from typing import Any

from .. import api
from ..container import format
from ..failures import FAILURES, message
from ..io import OutputError
from . import arguments, bulk_arguments, desktop_arguments, examples, small_arguments, streams, train_arguments
from .argument_parser import Parser
from .jobs import UsageError
from .runner import EXIT_INTERRUPTED, EXIT_OUTPUT, EXIT_USAGE, exit_code

FORMATS = ("png", "jpg", "jpeg", "webp", "avif", "tif", "tiff", "npy", "bmp", "ppm", "tga", "jp2")
# Short usage lines. argparse would print a dozen lines with every option above a one-line error.
USAGES = {
    "compress": "aec compress [OPTIONS] IN ...",
    "decompress": "aec decompress [OPTIONS] IN ...",
    "info": "aec info [OPTIONS] IN ...",
    "verify": "aec verify [OPTIONS] IN ...",
    "similar": "aec similar [OPTIONS] IN ...",
    "anomaly": "aec anomaly [OPTIONS] (--model MODEL | --train NORMAL) IN ...",
    "train": "aec train [OPTIONS] --minutes MINUTES -o MODEL DATA ...",
}


def command(module: str, name: str) -> Callable[[argparse.Namespace], int]:
    """Return a function that imports a module of this package and runs a command in it."""
    return lambda args: getattr(importlib.import_module(module, __package__), name)(args)


def version() -> str:
    from .. import _C, __version__

    return f"aec {__version__}, format {format.VERSION}, CUDA {_C.cuda_archs() if _C.cuda_built() else 'not built in'}"


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        streams.say(version())
        parser.exit()


def make_parser(only: str | None = None) -> argparse.ArgumentParser:
    """Make the parser.

    Args:
        only: the command whose arguments are wanted. Of the others only the names and a line of help are made, because
            making all takes some milliseconds. None: all.
    """
    raw = argparse.RawDescriptionHelpFormatter
    parser = Parser("aec", description="A learned image codec.", epilog=examples.MAIN, formatter_class=raw)
    parser.add_argument("-V", "--version", action=_Version, nargs=0, help="print the version and what was built in")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(
        fill: Callable[[argparse.ArgumentParser], None],
        name: str,
        module: str,
        help: str,
        ends: str | None = None,
        **options: Any,
    ) -> None:
        p = commands.add_parser(name, help=help, description=help, epilog=ends, formatter_class=raw, **options)
        p.usage = USAGES.get(name)
        p.set_defaults(run=command(module, name), parser=p, json=False, keep_going=True, debug=False)
        if only in (None, name):
            fill(p)

    add(_add_compress, "compress", ".convert", "pictures -> .aec files", examples.COMPRESS)
    help = ".aec files -> pictures (.png unless -o says otherwise)"
    add(_add_decompress, "decompress", ".convert", help, examples.DECOMPRESS)
    add(_add_info, "info", ".inspect", "what an .aec file says, and whether it is whole", examples.INFO)
    help = "whether .aec files are whole: their checksums, without decoding"
    add(_add_verify, "verify", ".inspect", help, examples.VERIFY)
    add(_add_view, "view", ".view", "open a picture in the browser", examples.VIEW)
    help = "a small PNG of an .aec file, as file managers ask for it"
    add(desktop_arguments.add_thumbnail, "thumbnail", ".thumbnail", help, examples.THUMBNAIL)
    help = "let file managers and ImageMagick know .aec files"
    add(desktop_arguments.add_desktop, "desktop", ".desktop", help, examples.DESKTOP)
    help = "pictures that are nearly the same, or most like one"
    add(_add_similar, "similar", ".similar", help, examples.SIMILAR)
    help = "whether aec works on this machine, bit for bit; takes some seconds"
    add(arguments.debug, "doctor", ".inspect", help)
    add(train_arguments.add, "train", ".train_bench", "pictures -> a model of your own", examples.TRAIN)
    help = "rate-distortion and speed against JPEG and others (aec bench --help)"
    add(lambda p: None, "bench", ".train_bench", help, add_help=False)
    help = "a picture and files made of it -> a page to look at them side by side"
    add(_add_compare, "compare", ".train_bench", help, examples.COMPARE)
    help = "which of many small pictures are unusual, and where in them"
    add(small_arguments.add_anomaly, "anomaly", ".anomaly", help, examples.ANOMALY)
    help = "small pictures, their latents, reconstructions and errors on one sheet"
    add(small_arguments.add_sheet, "sheet", ".sheet", help, examples.SHEET)
    return parser


def _talk(p: argparse.ArgumentParser) -> None:
    group = p.add_argument_group("messages")
    group.add_argument("-v", "--verbose", action="store_true", help="a line for each file, and what of it is not kept")
    group.add_argument("--quiet", action="store_true", help="no progress bar; errors only")
    group.add_argument(
        "--progress", action=argparse.BooleanOptionalAction, help="progress bar (default: on a terminal)"
    )
    arguments.debug(group)


def _model(p: argparse.ArgumentParser) -> None:
    group = p.add_argument_group("network")
    arguments.device_option(
        group,
        "cpu, or, where the extra `train` is installed, cuda or cuda:N; auto, the default, is cpu here, for no picture "
        "takes as long as starting a GPU does",
    )
    group.add_argument(
        "--model",
        metavar="NAME|FILE",
        help="eye, the default for compressing, psnr, or a model file; files name theirs",
    )


def _many(p: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    group = p.add_argument_group("many files")
    group.add_argument("-r", "--recursive", action="store_true", help="folders with all that is below them")
    group.add_argument(
        "-j",
        "--jobs",
        type=arguments.workers,
        metavar="N|all",
        help="files at a time, each in memory as a whole, sharing the cores (default: a file for each core, but at "
        "most 4 with --device cuda; all: a file for each core there too)",
    )
    group.add_argument("--json", action="store_true", help="a JSON object for each file, and nothing else, on stdout")
    return group


def _inputs(p: argparse.ArgumentParser, help: str, nargs: str = "+") -> None:
    p.add_argument("inputs", nargs=nargs, type=arguments.name, metavar="IN", help=help)


def _files(p: argparse.ArgumentParser, metadata_help: str) -> None:
    """Add the options that compress and decompress have in common."""
    _inputs(p, "file, folder, pattern such as '*.png', or - for standard input", nargs="*")
    where = p.add_mutually_exclusive_group()
    where.add_argument(
        "-o",
        "--output",
        type=arguments.name,
        metavar="OUT",
        help="file, folder (must be one for several inputs), or - for standard output",
    )
    where.add_argument(
        "--output-dir-mirror",
        type=arguments.name,
        metavar="DIR",
        help="into DIR, below which the paths of the inputs are repeated",
    )
    existing = p.add_mutually_exclusive_group()
    existing.add_argument(
        "-f",
        "--force",
        action="store_true",
        help="overwrite outputs that are there; shards that were made of the same stay",
    )
    existing.add_argument("--skip-existing", action="store_true", help="leave outputs that are there as they are")
    p.add_argument("--preserve-mtime", action="store_true", help="outputs get the times of their inputs")
    kept = p.add_mutually_exclusive_group()
    kinds = ",".join(format.METADATA)
    kept.add_argument(
        "--metadata",
        type=arguments.metadata,
        metavar="KINDS",
        help=f"{metadata_help}: all (default), none, or some of {kinds}",
    )
    kept.add_argument(
        "--strip",
        dest="metadata",
        action="store_const",
        const=("icc",),
        help="of metadata only what is on colour",
    )
    many = _many(p)
    help = "more inputs, one a line or as find -print0 has them, from a file or - for standard input"
    many.add_argument("--filelist", type=arguments.name, metavar="FILE", help=help)
    bulk_arguments.add(p)
    many.add_argument("--dry-run", action="store_true", help="say what would be written, and write nothing")
    many.add_argument(
        "--keep-going",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="after a failure go on with the other files (default), or stop",
    )


def _add_compress(p: argparse.ArgumentParser) -> None:
    aim = p.add_mutually_exclusive_group()
    aim.add_argument(
        "-q",
        "--quality",
        type=arguments.quality,
        metavar=f"{api.QUALITIES[0]}..{api.QUALITIES[-1]}",
        help="1 smallest; 100 the network's best, which is not lossless; about the SSIMULACRA 2 of photographs: 50 is "
        f"medium, 70 high, 90 looks like the original (default: {api.DEFAULT_QUALITY})",
    )
    aim.add_argument(
        "--target-size",
        type=arguments.size,
        metavar="SIZE",
        help="at most so many bytes, the whole file, and close to it",
    )
    aim.add_argument("--target-bpp", type=arguments.positive, metavar="BITS", help="the same in bits per pixel")
    aim.add_argument(
        "--target-psnr", type=arguments.positive, metavar="DB", help="at least so many dB, and close to it"
    )
    aim.add_argument(
        "--target-ssimulacra2",
        type=arguments.score,
        metavar="SCORE",
        help="at least so many points of SSIMULACRA 2, above 0, at most 100, and close to it: 90 looks like the "
        "original, 70 is high quality, 50 medium",
    )
    aim.add_argument("--lossless", action="store_true", help="every sample comes back as it was; no network runs")
    aim.add_argument(
        "--max-error",
        type=arguments.max_error,
        metavar=f"{api.MAX_ERRORS[0]}..{api.MAX_ERRORS[-1]}",
        help="no colour sample is further than so many levels from the original, and alpha is as it was; 0 is "
        "--lossless; no network runs",
    )
    p.add_argument(
        "-e",
        "--effort",
        type=arguments.effort,
        metavar=f"{api.EFFORTS[0]}..{api.EFFORTS[-1]}",
        help="1: every latent to its nearest symbol; 2: zeros where they save more bits than they cost in error; 3..9: "
        "all are chosen anew 1 to 16 times, knowing what the decoder makes of them, each time as long as two or three "
        f"encodings; the model psnr does so twice at 2 as well (default: {api.DEFAULT_EFFORT})",
    )
    p.add_argument(
        "--roi",
        type=arguments.roi,
        metavar="X,Y,W,H:+N",
        action="append",
        default=[],
        help="this rectangle is so much better (+N) or worse (-N) than the rest; in blocks of 64x64 pixels; may be "
        "repeated",
    )
    p.add_argument(
        "--roi-mask",
        type=arguments.roi_mask,
        metavar="FILE:+N",
        action="append",
        default=[],
        help="the same where a picture of the same size is white, and partly where it is gray",
    )
    p.add_argument(
        "-p",
        "--progressive",
        action="store_true",
        help="the first half of the file holds a coarse version of the whole picture; files are 1 to 5 percent larger",
    )
    p.add_argument(
        "--alpha-q",
        dest="alpha_quality",
        type=arguments.alpha_quality,
        metavar=f"{api.ALPHA_QUALITIES[0]}..{api.ALPHA_QUALITIES[-1]}",
        help="quality of the alpha channel; 100 is lossless (default: 100)",
    )
    p.add_argument(
        "--bits",
        type=arguments.bits,
        metavar=f"{api.BITS[0]}..{api.BITS[-1]}",
        help="samples are integers of so many bits, as of a camera of 12 in a 16-bit file, and are spread over the "
        "whole range, so that 2^bits - 1 is white (default: as many bits as the file says that its samples have)",
    )
    p.add_argument(
        "--if-larger",
        choices=("store", "skip", "fail"),
        default="store",
        help="what to do where a file would be larger than its input: let it hold the input's own bytes, if those are "
        "PNG, WebP or JPEG (store, the default), make no file (skip), or call it an error (fail)",
    )
    p.add_argument(
        "--keep-suffix",
        action="store_true",
        default=None,
        help="a.jpg becomes a.jpg.aec, not a.aec; without this option only where another input, such as a.png, would "
        "become the same file",
    )
    p.add_argument(
        "--format",
        choices=("aec",),
        help="for programs that call aec: -o may name a new file without a suffix, which else is refused, for it looks "
        "like a folder that is not there",
    )
    _files(p, "what to keep")
    _model(p)
    _talk(p)


def _add_decompress(p: argparse.ArgumentParser) -> None:
    p.add_argument("--pick", type=arguments.natural, metavar="I", help="of a collection only picture I, counted from 0")
    p.add_argument("--crop", type=arguments.region, metavar="X,Y,W,H", help="this part only, in pixels of the whole")
    size = p.add_mutually_exclusive_group()
    size.add_argument("--scale", type=arguments.scale, default=1, metavar="1/2|1/4|1/8", help="smaller, and sooner")
    size.add_argument(
        "--fit",
        type=arguments.fit,
        metavar="WxH",
        help="shrunk to fit into W x H pixels, in its own shape; never enlarged",
    )
    p.add_argument(
        "--format",
        choices=FORMATS,
        help="what to write where -o names no file, such as many files into a folder (default: png)",
    )
    p.add_argument(
        "--out-quality",
        type=arguments.quality,
        metavar="1..100",
        help="of .jpg, .webp and .avif files (default: 95, near to the picture; .webp of what was kept exactly: exact)",
    )
    p.add_argument(
        "--depth", type=arguments.depth, metavar="8|16", help="bits a sample (default: as many as the file's)"
    )
    p.add_argument(
        "--allow-partial",
        action="store_true",
        help="of files that are cut off or damaged, write what there is, and say where the picture is not as it was",
    )
    p.add_argument(
        "--arriving",
        action="store_true",
        help="of standard input that comes slowly, write OUT again whenever it holds more of the picture",
    )
    limit = format.DEFAULT_MAX_PIXELS
    p.add_argument(
        "--max-pixels",
        type=arguments.natural,
        default=limit,
        metavar="N",
        help=f"refuse larger pictures (default: {limit}; 0: none)",
    )
    _files(p, "what to write, where the kind of file has a place for it")
    _model(p)
    _talk(p)


def _add_info(p: argparse.ArgumentParser) -> None:
    _inputs(p, ".aec file, folder, pattern, or - for standard input")
    p.add_argument("-r", "--recursive", action="store_true", help="folders with all that is below them")
    p.add_argument("--json", dest="as_json", action="store_true", help="a JSON object for each file")
    _talk(p)


def _add_verify(p: argparse.ArgumentParser) -> None:
    _inputs(p, ".aec file, folder, pattern, or - for standard input")
    p.add_argument("--deep", action="store_true", help="decode all symbols too, but no pixels; needs the files' models")
    _many(p)
    _model(p)
    _talk(p)


def _add_view(p: argparse.ArgumentParser) -> None:
    p.add_argument(
        "file",
        type=arguments.name,
        metavar="FILE",
        help=".aec or any picture that Pillow can read; - for standard input",
    )
    p.add_argument(
        "-o",
        "--output",
        metavar="HTML",
        help="write the page here, and open nothing; - for stdout. Without it the page is a temporary file, which the "
        "first `aec view` after a day removes",
    )
    p.add_argument("-f", "--force", action="store_true", help="overwrite")
    _model(p)
    arguments.debug(p)


def _add_similar(p: argparse.ArgumentParser) -> None:
    _inputs(p, ".aec file or other picture, folder, pattern, or - for standard input")
    p.add_argument("-r", "--recursive", action="store_true", help="folders with all that is below them")
    p.add_argument("--query", type=arguments.name, metavar="FILE", help="show the pictures that are most like this one")
    p.add_argument("-k", type=arguments.count, metavar="N", help="how many pictures --query shows (default: 10)")
    p.add_argument(
        "--threshold",
        type=arguments.similarity,
        metavar="-1..1",
        help="the least similarity of near-duplicates (default: 0.9), or of the pictures that --query shows (default: "
        "none)",
    )
    p.add_argument(
        "-j",
        "--jobs",
        type=arguments.workers,
        metavar="N|all",
        help="files at a time, sharing the cores (default: a file for each core)",
    )
    p.add_argument("--json", action="store_true", help="JSON objects, and nothing else, on stdout")
    _talk(p)


def _add_compare(p: argparse.ArgumentParser) -> None:
    p.add_argument("original", type=arguments.name, metavar="ORIGINAL", help="picture")
    p.add_argument(
        "files",
        nargs="+",
        type=arguments.name,
        metavar="FILE",
        help=".aec, JPEG, WebP, AVIF or what else Pillow can read",
    )
    p.add_argument("-o", "--output", metavar="HTML", default="compare.html", help="default: compare.html; - for stdout")
    p.add_argument("-f", "--force", action="store_true", help="overwrite")
    _model(p)
    _talk(p)


def _hush_pillow() -> None:
    """Silence Pillow's warnings and log messages about damaged files. Anything important is raised as an error too."""
    warnings.filterwarnings("ignore", module=r"PIL\.")
    logging.getLogger("PIL").addHandler(logging.NullHandler())  # without a handler, Python prints the messages itself


def _let_threads_sleep() -> None:
    """Limit how long the threads of torch and numpy spin while they wait, unless the user has set that.

    This must be called before torch and numpy are imported.

    torch's OpenMP threads spin for milliseconds after each task. If another process is busy too, such as a second
    `aec`, they occupy cores that the others need, and everything takes five times as long. A short spin costs nothing
    if the cores are free. numpy's OpenBLAS starts a thread on each core when it is imported, and each spins for some
    25 ms, in which most commands could be half done.
    """
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
        os.environ["GOMP_SPINCOUNT"] = "1000"
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "16")  # the binary logarithm of a number of cycles; default: 26


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code. The arguments default to those of the process."""
    streams.occupy()
    _let_threads_sleep()
    try:
        try:
            code = _run(sys.argv[1:] if argv is None else argv)
        except SystemExit as e:  # argparse's, after help, the version or a usage error
            code = e.code if isinstance(e.code, int) else int(bool(e.code))
        if not code:  # after an error, a second message about the output would not help
            streams.flush()
        return code
    except BrokenPipeError:  # the reader of a pipe has ended, as in `aec info *.aec | head`: not worth a message
        return EXIT_OUTPUT
    except KeyboardInterrupt:
        streams.complain("aec: interrupted")
        return EXIT_INTERRUPTED
    except OutputError as e:
        streams.complain(f"aec: {e}")
        return EXIT_OUTPUT
    finally:
        streams.let_go()


def _run(argv: list[str]) -> int:
    parser = make_parser(argv[0] if argv else "")
    if not argv:
        parser.print_help(sys.stderr)
        return EXIT_USAGE
    args, rest = parser.parse_known_args(argv)
    command: argparse.ArgumentParser = args.parser
    if args.command == "bench":
        args.rest = rest
    elif rest:
        files = [word for word in rest if os.path.lexists(word)]
        hint = f"; a file whose name begins with a minus sign is given as ./{files[0]}" if files else ""
        command.error(f"unrecognized arguments: {' '.join(rest)}{hint}")
    if not args.debug:
        _hush_pillow()
    try:
        return args.run(args)
    except UsageError as e:
        command.error(str(e))
    except BrokenPipeError:
        raise
    except FAILURES as e:
        if args.debug:
            raise
        streams.complain(f"aec: {message(e)}")
        return exit_code(e)
