"""Batches in two dialects: short responses, on AWS's standard runtime. batch_worker does the processing."""

from mangum import Mangum

from shared.snapshot import before_snapshot
from shared.web.app import Application

app = Application("batches")
handler = Mangum(app, lifespan="off")
before_snapshot()
