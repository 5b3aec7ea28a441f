"""Errors and the smallest fields, for tests/reader.py: FORMAT §1 and §2."""


class FormatError(Exception):
    """What is wrong with a file; the classes are named as in FORMAT §2."""


class CorruptError(FormatError):
    """The file's bytes contradict the page or each other."""


class NotAecError(FormatError):
    """The file does not begin with the magic."""


class UnsupportedVersionError(FormatError):
    """Another version, or a bit that this version does not know."""


class TruncatedError(FormatError):
    """The file ends before its head, its table or its data do."""


class LimitError(FormatError):
    """The file asks for more than the page or the reader allows."""


class ModelError(FormatError):
    """The file was made with another model."""


def require(condition, error, message):
    """Raise `error(message)` unless the condition holds."""
    if not condition:
        raise error(message)


class Bytes:
    """Reads fields from the front of some bytes; `error` is raised when they end too early."""

    def __init__(self, data, error):
        self.data, self.at, self.error = data, 0, error

    def take(self, count):
        """The next `count` bytes."""
        require(self.at + count <= len(self.data), self.error, "the bytes end inside a field")
        self.at += count
        return self.data[self.at - count : self.at]

    def byte(self):
        """The next byte, 0..255."""
        return self.take(1)[0]

    def varint(self):
        """FORMAT §1: unsigned LEB128 in its shortest form, at most 5 bytes, below 2^32."""
        value = 0
        for place in range(5):
            byte = self.byte()
            value |= (byte & 127) << 7 * place
            if byte < 128:
                require(byte or place == 0, CorruptError, "a varint is not in its shortest form")
                require(value < 1 << 32, CorruptError, "a varint is not below 2^32")
                return value
        raise CorruptError("a varint has more than 5 bytes")

    def rest(self):
        """All that is left."""
        return self.take(len(self.data) - self.at)
