"""The authorizer in front of every route."""

from shared.authorizer import handler

__all__ = ["handler"]
