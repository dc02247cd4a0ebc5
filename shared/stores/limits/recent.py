"""What a process remembers of the items that it has used lately."""

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
_MOST = 1000


class Recent(dict[str, T]):
    """Values by name, `make` being a new one; of more than a thousand the one that was asked for longest ago goes."""

    def __init__(self, make: Callable[[], T]) -> None:
        super().__init__()
        self._make = make

    def of(self, name: str) -> T:
        """The value of a name, made if there is none."""
        value = self.pop(name) if name in self else self._make()
        self[name] = value
        if len(self) > _MOST:
            del self[next(iter(self))]
        return value
