"""Fuzzes what reads files, following coverage: `python tests/fuzz/readers.py TARGET [--minutes 30]`; needs atheris.

Targets are container, stored, metadata, pillow and collection, in targets.py. A finding ends the run: it lies in
`TARGET-crash-HASH` (or -timeout-, -oom-), and `python tests/fuzz/readers.py TARGET FILE` shows it again.
"""

import argparse
import os
import random
import sys
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fuzz.targets import Target

TESTS = Path(__file__).resolve().parents[1]
CORPUS = TESTS / "fuzz" / "corpus"
NAMES = ("container", "stored", "metadata", "pillow", "collection")
LIMITS = ("-max_len=8192", "-timeout=20", "-rss_limit_mb=2048")  # bytes of an input, seconds, and of memory


def damaged(data: bytes, rng: random.Random) -> bytes:
    """A few flipped bits or replaced bytes, an insertion, or a loss."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(out) + 1)
        kind = rng.randrange(5)
        if kind == 0 and at < len(out):
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 1 and at < len(out):
            out[at] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)])
        elif kind == 2:
            out[at:at] = rng.randbytes(rng.randint(1, 4))
        elif kind == 3:
            del out[at:]
        else:
            del out[at : at + rng.randint(1, 4)]
    return bytes(out)


def blindly(target: "Target", kept: Path, seconds: float, seed: int, finding: Path) -> Counter:
    """Without atheris: replay what is kept, then try changed seeds for some seconds; how often each outcome was seen.

    Args:
        kept: folder of inputs that were findings.
        finding: gets the input that is one.

    Raises:
        Exception: what the target's check raises.
    """
    rng, seeds, outcomes = random.Random(seed), target.seeds(), Counter()

    def attempt(data: bytes) -> None:
        try:
            outcomes[target.check(data)] += 1
        except BaseException:
            finding.write_bytes(data)
            raise

    for data in [path.read_bytes() for path in sorted(kept.glob("*"))] + seeds:
        attempt(data)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        attempt(target.changed(rng.choice(seeds), rng, lambda data: damaged(data, rng)))
    return outcomes


def guided(name: str, minutes: float, found: Path) -> None:
    """With atheris, which never comes back: libFuzzer ends the process.

    Args:
        found: folder that gets the seeds and inputs that reach something new; a later run goes on from it.
    """
    import atheris

    with atheris.instrument_imports(include=["codec"]):
        from fuzz import targets

        target = targets.TARGETS[name]
        seeds = target.seeds()
        for seed in seeds:  # for modules that are imported when they are needed
            target.check(seed)

    def changed(data: bytes, most: int, seed: int) -> bytes:
        out = target.changed(data, random.Random(seed), lambda part: atheris.Mutate(part, len(part) + 64))
        return out if len(out) <= most else atheris.Mutate(data, most)

    for i, seed in enumerate(seeds):
        Path(found, f"seed-{i:03}").write_bytes(seed)
    folders = [found, *(path for path in (CORPUS / name,) if path.is_dir())]
    limits = [*LIMITS, f"-max_total_time={round(60 * minutes)}", f"-artifact_prefix={name}-", "-print_final_stats=1"]
    warnings.simplefilter("ignore")  # Pillow's, of each damaged file
    atheris.Setup([name, *limits, *map(str, folders)], target.check, custom_mutator=changed)
    atheris.Fuzz()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", choices=NAMES)
    parser.add_argument("files", nargs="*", type=Path, help="findings to be seen again, without atheris")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--found", type=Path, help="folder of inputs to go on from; default: found-TARGET")
    args = parser.parse_args()
    sys.path.append(str(TESTS))
    os.environ["AEC_MODELS"] = str(TESTS / "golden")
    if not args.files:
        found = args.found or Path(f"found-{args.target}")
        found.mkdir(parents=True, exist_ok=True)
        guided(args.target, args.minutes, found)
    from fuzz import targets

    for path in args.files:
        print(path, targets.TARGETS[args.target].check(path.read_bytes()))


if __name__ == "__main__":
    main()
