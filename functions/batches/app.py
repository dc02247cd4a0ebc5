"""Batches in two dialects: short answers, which AWS's own runtime delivers. The work is batch_worker's."""

from mangum import Mangum

from shared.snapshot import before_snapshot
from shared.web.app import create_app

app = create_app("batches")
handler = Mangum(app, lifespan="off")
before_snapshot()
