"""The stable dialect: OpenAI's chat completion with the model optional and defaults of its own; errors as OpenAI's."""

from typing import Annotated

from pydantic import Field

from shared.dialects.base import Defaults, JsonObject, Operation
from shared.dialects.openai.chat import OpenAIChat, Temperature, TopP, chat_operation


class StableChat(OpenAIChat):
    """The body of /v1/chat/completions/stable."""

    model: Annotated[str, Field(min_length=1)] = "Auto"
    temperature: Temperature | None = 0.0
    top_p: TopP | None = 0.95


def chat(body: JsonObject, defaults: Defaults) -> Operation:
    """/v1/chat/completions/stable, where the output is not limited unless the caller asks for it."""
    return chat_operation(StableChat, body, None)
