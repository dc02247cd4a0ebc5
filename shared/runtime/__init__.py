"""A client of Lambda's Runtime API that streams what an ASGI application answers: `python -m shared.runtime`.

AWS's own client for Python waits for a whole answer, and API Gateway for the client that posts it. This one is
started in its place by `layers/runtime/streaming-runtime`. It runs on Mangum and the standard library alone.
"""
