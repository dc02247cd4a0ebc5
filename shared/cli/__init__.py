"""The operator's command line: keys, usage, models and batches of a stack, or of the gateway that `make run` serves.

`python -m shared.cli`, installed as `gateway`. Never imported by a function.
"""
