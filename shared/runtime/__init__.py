"""A client of Lambda's Runtime API that streams an ASGI application's responses: `python -m shared.runtime`.

AWS's own Python client cannot stream: it posts a response only when it is complete. Where Lambda gives a process
several invocations at once, that client starts a process for each; this one serves them all on one event loop.
`layers/runtime/streaming-runtime` starts this one in its place. It depends on Mangum and the standard library only.
"""
