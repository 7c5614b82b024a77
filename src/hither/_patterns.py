"""Regular expressions that are compiled when they are first used: most programs need few, and `import` none."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from collections.abc import Callable
    from typing import Any, AnyStr

_METHODS = ("findall", "finditer", "fullmatch", "match", "search", "split", "sub")


class _Pattern:
    """Stands for a compiled pattern, and after its first use has that one's methods."""

    def __init__(self, text: Any) -> None:
        self._text = text

    def __getattr__(self, name: str) -> Callable[..., Any]:
        import re

        if name not in _METHODS:
            raise AttributeError(name)
        compiled = re.compile(self._text)
        for method in _METHODS:
            setattr(self, method, getattr(compiled, method))
        found: Callable[..., Any] = getattr(compiled, name)
        return found


def pattern(text: AnyStr) -> re.Pattern[AnyStr]:
    """Return what can be used like `re.compile(text)`.

    >>> pattern("[0-9]+").fullmatch("42")[0]
    '42'
    """
    return _Pattern(text)  # type: ignore[return-value]
