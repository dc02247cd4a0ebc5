"""A module that cannot be loaded."""

raise ValueError("a setting is missing")
