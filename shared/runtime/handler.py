"""Finds the ASGI application that a function's handler setting names."""

from importlib import import_module

from mangum.types import ASGI

from shared.runtime.failure import Failure, failure_of


class BadHandler(Exception):
    """The handler setting names no application; `type` is Lambda's error type."""

    def __init__(self, type_: str, message: str) -> None:
        super().__init__(message)
        self.type = type_


def load_app(handler: str) -> ASGI:
    """The application with a dotted name such as `functions.chat.app.app`.

    Raises BadHandler, and any exception raised by importing the module.
    """
    module_name, _, name = handler.replace("/", ".").rpartition(".")
    if not module_name:
        raise BadHandler("Runtime.MalformedHandlerName", f"The handler {handler!r} is not a module and a name.")
    app: ASGI | None = getattr(import_module(module_name), name, None)
    if not callable(app):
        raise BadHandler("Runtime.HandlerNotFound", f"The module {module_name} has no application {name!r}.")
    return app


def init_failure(error: Exception) -> Failure:
    """Why the application could not be loaded, with the error types of AWS's own runtime."""
    match error:
        case BadHandler():
            return Failure(error.type, str(error))
        case ImportError():
            return failure_of(error, "Runtime.ImportModuleError")
        case SyntaxError():
            return failure_of(error, "Runtime.UserCodeSyntaxError")
        case _:
            return failure_of(error)
