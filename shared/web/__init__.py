"""The HTTP side: FastAPI applications made of routes, callers and answers."""

from pydantic import BaseModel

# FastAPI declares the models of OpenAPI documents, which no function serves, whenever it is imported. Building each
# model only when it is used spares every cold start a fifth of FastAPI's import. This has to come before that import.
BaseModel.model_config["defer_build"] = True
