"""What vendors call the service tiers that OpenAI calls default, flex and priority."""

from typing import Any

_NAMES = {"standard": "default", "on_demand": "default", "performance": "priority"}


def told_tier(name: Any) -> str | None:
    """The tier that a vendor says has served the request, by OpenAI's name where it has one."""
    if not isinstance(name, str) or not name:
        return None
    return _NAMES.get(name.lower(), name.lower())
