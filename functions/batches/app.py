"""Batches in two dialects: short answers, which AWS's own runtime delivers. The work is batch_worker's."""

from mangum import Mangum

from shared.snapshot import before_snapshot
from shared.web.app import create_app
from shared.web.batches import envelope_batch_routes, openai_batch_routes

app = create_app(
    envelope_batch_routes,
    openai_batch_routes,
)
handler = Mangum(app, lifespan="off")
before_snapshot()
