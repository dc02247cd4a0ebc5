"""`dataclass` of the standard library, but for values that are frozen for type checkers only.

Python's own frozen dataclasses take twice as long to be declared, and to be created, since they set each field by a
call. A function declares a hundred of them before it answers: a twelfth of the CPU time of a cold start. mypy refuses
to assign to their fields; nothing does so at run time.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass
else:
    import dataclasses
    from functools import cache

    def dataclass(*, frozen=False, slots=False, eq=True):
        """A decorator with the standard library's options. What is frozen and has `eq` can be hashed."""

        def declared(cls: type[Any]) -> type[Any]:
            has_own_hash = "__hash__" in vars(cls)
            made = dataclasses.dataclass(cls, slots=slots, eq=eq)
            if frozen and eq and not has_own_hash:
                made.__hash__ = _hash
            return made

        return declared

    def _hash(value):
        return hash(tuple(getattr(value, name) for name in _hashed(type(value))))

    @cache
    def _hashed(kind):
        fields = dataclasses.fields(kind)
        return tuple(one.name for one in fields if (one.compare if one.hash is None else one.hash))


__all__ = ["dataclass"]
