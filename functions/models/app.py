"""The lists of models, and one model: short answers, which AWS's own runtime delivers."""

from mangum import Mangum

from shared.dialects.compact.models import models_body as compact_models_body
from shared.dialects.openai.models import models_body
from shared.snapshot import before_snapshot
from shared.web.app import create_app
from shared.web.models import model_route, models_route

app = create_app(
    models_route("/v1/models", models_body),
    model_route("/v1/models/{model_id:path}"),
    models_route("/ai/models", compact_models_body),
    models_route("/ai/ai/models", compact_models_body),
)
handler = Mangum(app, lifespan="off")
before_snapshot()
