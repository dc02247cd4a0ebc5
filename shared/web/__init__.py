"""The HTTP layer: FastAPI applications with routes, authentication and responses."""

from pydantic import BaseModel

# Importing FastAPI declares pydantic models of OpenAPI documents, which no function serves. Deferring their build saves
# every cold start a fifth of FastAPI's import. This must run before that import.
BaseModel.model_config["defer_build"] = True
