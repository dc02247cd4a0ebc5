"""Dialects: the wire formats that clients speak, each translated to and from the canonical types."""

from shared.dialects.base import Dialect


def dialect_for(path: str) -> Dialect:
    """The dialect that answers on a path, also where no route matches."""
    if _under(path, "/v1/inference"):
        from shared.dialects import envelope

        return envelope.dialect
    if _under(path, "/ai"):
        from shared.dialects import compact

        return compact.dialect
    from shared.dialects import openai

    return openai.dialect


def _under(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(f"{prefix}/")
