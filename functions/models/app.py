"""The lists of models, and one model: short answers, which AWS's own runtime delivers."""

from mangum import Mangum

from shared.snapshot import before_snapshot
from shared.web.app import create_app

app = create_app("models")
handler = Mangum(app, lifespan="off")
before_snapshot()
