"""Batches: many requests in one file, each answered exactly once whatever breaks in between.

A batch's input lies in the bucket. One message has it split into chunks, each a range of its bytes and a message of its
own; a chunk's lines are answered and written as one object, which once there never changes; then the chunk is counted
in the batch's row, once. When all are counted, the objects are put together to the two result files. Each step can be
done again: what is there already is found, and what a second worker does at the same time is thrown away.
"""
