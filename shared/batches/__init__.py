"""Batches: many requests in one file, each with exactly one result in spite of retries and crashes.

A batch's input is stored in the bucket. A first message has it split into chunks, each a byte range with its own
message. A chunk's lines are answered and written as one immutable object; then the chunk is counted, once, in the
batch's row. When all chunks are counted, the objects are joined into the two result files. Every step is idempotent: it
skips what is already stored, and the output of a concurrent duplicate is discarded.
"""
