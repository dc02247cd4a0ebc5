"""Canonical types: what dialects parse into and providers translate from, no vendor's wire format."""
