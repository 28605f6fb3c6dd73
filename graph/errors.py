"""What can be wrong with the input of a graph. Every message names the file or field, and the fix."""

from __future__ import annotations


class GraphError(Exception):
    """A graph directory, an edge list, or a request on a graph cannot be used as it is."""


class DumpError(GraphError):
    """A dump that cannot be read.

    Attributes:
        file: path as text.
        offset: byte offset in the uncompressed SQL, or None where none applies.
    """

    def __init__(self, file: str, offset: int | None, problem: str, fix: str):
        self.file, self.offset = file, offset
        at = f", byte {offset} of the uncompressed SQL" if offset is not None else ""
        super().__init__(f"{file}{at}: {problem}; {fix}")
