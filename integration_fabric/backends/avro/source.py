"""A function's source while it is generated: one function for each message type and schema is twice as fast as fastavro's dictionaries."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from integration_fabric.backends.avro import binary


class Source:
    """Lines of one function, and the objects that they name.

    Everything of `binary` can be named. Text of schemas never becomes source: names of fields are put in by `repr`, all else as a constant.
    """

    def __init__(self, head: str) -> None:
        self._lines = [head]
        self._indent = 1
        self._names = dict(vars(binary))
        self._count = 0

    def line(self, text: str) -> None:
        """Add a line at the current depth."""
        self._lines.append("    " * self._indent + text)

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        """Add a line that ends in a colon; what is added inside stands below it."""
        self.line(head)
        self._indent += 1
        yield
        self._indent -= 1

    def variable(self) -> str:
        """A name that is not in use."""
        self._count += 1
        return f"v{self._count}"

    def constant(self, value: object) -> str:
        """A name for an object."""
        self._count += 1
        name = f"C{self._count}"
        self._names[name] = value
        return name

    @property
    def text(self) -> str:
        """The function, for whoever looks into it."""
        return "\n".join(self._lines)

    def compile(self, name: str, *, file: str) -> Callable[[Any], Any]:
        """Make the function.

        Args:
            name: As in the head.
            file: What a traceback shows as its file.
        """
        exec(compile(self.text, f"<{file}>", "exec"), self._names)  # noqa: S102 - made of our own templates, see the class
        function: Callable[[Any], Any] = self._names[name]
        return function
