"""The arguments of `aec compress` and `aec decompress` for tar shards."""

import argparse


def add(p: argparse.ArgumentParser) -> None:
    group = p.add_argument_group("millions of pictures, in tar files (shards)")
    group.add_argument(
        "--from",
        dest="shards",
        action="append",
        metavar="SHARDS",
        help="tar files as of WebDataset, instead of IN: a path or URL such as 'in-{00000..00099}.tar', with * too; "
        "may be given several times. Pictures in them are converted, other files are copied, links are left out",
    )
    group.add_argument(
        "--to",
        metavar="OUT",
        help="where they go: a name such as 'out-{:05d}.tar', with the number of the shard from 0 on, or "
        "'out/{name}.tar', with its name, makes tar files; any other name is a folder, into which each shard is "
        "unpacked as a folder. Beside each lie rows (.jsonl) and _stats.json. What is done already is left as it is: "
        "the same command goes on after a kill",
    )
    group.add_argument(
        "--rows", choices=("jsonl", "parquet"), default="jsonl", help="the file with a row for each picture"
    )
    group.add_argument(
        "--engine",
        choices=("local", "ray"),
        default="local",
        help="processes of this machine (-j: how many; default: one for each core), or Ray",
    )
    group.add_argument(
        "--address", metavar="HOST:PORT|auto", help="of a Ray cluster (default: Ray is started on this machine)"
    )
