"""The lists of models and single models: short responses, on AWS's standard runtime."""

from mangum import Mangum

from shared.snapshot import before_snapshot
from shared.web.app import Application

app = Application("models")
handler = Mangum(app, lifespan="off")
before_snapshot()
