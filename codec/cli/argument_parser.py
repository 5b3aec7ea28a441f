"""What argparse does not do by itself: values that begin with a minus sign, and messages that are safe to print."""

import argparse
import itertools
import re
from typing import Any, NoReturn

from . import streams


class Parser(argparse.ArgumentParser):
    """A parser whose errors are safe for a terminal, and which reports an error if its help cannot be written.

    What begins with a minus sign and a digit is a value, for no option does: so the check of the value says what is
    wrong with --crop -1,0,8,8, and not argparse, to which the value seems to be missing.
    """

    def __init__(self, *args: Any, **options: Any):
        super().__init__(*args, **options)
        self._negative_number_matcher = re.compile(r"-\.?\d")
        self._words: list[str] = []

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        self._words = list(args or ())
        return super().parse_known_args(args, namespace)

    def print_help(self, file: Any = None) -> None:
        if file is not None:
            super().print_help(file)
        else:
            streams.say(self.format_help().removesuffix("\n"))

    def error(self, message: str) -> NoReturn:
        if found := re.fullmatch(r"argument (\S+): expected one argument", message):
            message = f"argument {found[1]}: {self._missing_value(found[1].split('/'))}"
        super().error(streams.shown(message))

    def _missing_value(self, names: list[str]) -> str:
        """Say what there is in place of the value of an option, which has these names."""
        for word, following in itertools.pairwise([*self._words, ""]):
            if word in names and following[:1] == "-":
                example = f"{word}={following}" if word.startswith("--") else f"{word}{following}"
                return (
                    f"a value must follow, and not {following}; one that begins with a minus sign is given as {example}"
                )
        return "a value must follow"
