"""What vendors' error messages mean where status and code do not tell; loaded when a call has failed.

The words were taken from the vendors' documentation, SDKs and issue trackers. A vendor that forwards to others, such as
OpenRouter, answers in theirs.
"""

import re

# The comment behind each alternative names the vendors that use it.
_CONTEXT_OVERFLOW = re.compile(
    r"context[_ ]length[_ ]exceeded"
    r"|prompt (is )?too long"  # Anthropic, Fireworks, Ollama
    r"|exceeds? [^.]{0,40}context (limit|window|length|size)"  # Anthropic, OpenAI, Ollama, llama.cpp
    r"|context window exceeds"  # MiniMax
    r"|maximum context (length|limit)"  # OpenAI, DeepSeek, Mistral, OpenRouter, vLLM and its hosts
    r"|maximum (prompt|input) length is \d"  # xAI, Together
    r"|input token count [^.]{0,80}(exceeds|supports up to)"  # Gemini
    r"|input tokens exceed the configured limit"  # OpenAI
    r"|reduce the length of the (messages|prompt|input)"  # Groq, Cerebras
    r"|(longer|greater) than the (model's context|context|maximum model) length"  # Together, LM Studio, vLLM
    r"|exceeded model token limit"  # Moonshot
    r"|input is too long for requested model"  # Bedrock
    r"|`inputs` tokens \+ `max_new_tokens` must be",  # Together
    re.IGNORECASE,
)
_OVERLOADED = re.compile(
    r"overloaded"  # Anthropic, OpenAI, Gemini, Together
    r"|high demand"  # Gemini
    r"|too busy"  # DeepSeek
    r"|(over|at|insufficient|exceeds?) capacity|capacity exceeded",  # Groq, Cerebras
    re.IGNORECASE,
)
_NO_CREDIT = re.compile(
    r"insufficient (balance|credits?|funds)"  # DeepSeek, OpenRouter
    r"|credit balance is too low"  # Anthropic
    r"|(used all available|doesn't have any|lack sufficient) credits"  # xAI, Stability
    r"|credits are depleted"  # Gemini
    r"|monthly spending limit",  # xAI, Fireworks
    re.IGNORECASE,
)
_LONGEST_MESSAGE = 4000


def says_context_overflow(message: str | None) -> bool:
    """Whether a refusal is about a request that does not fit into the model's context."""
    return _says(_CONTEXT_OVERFLOW, message)


def says_overloaded(message: str | None) -> bool:
    """Whether a server error is about a lack of capacity."""
    return _says(_OVERLOADED, message)


def says_no_credit(message: str | None) -> bool:
    """Whether a refusal is about the credit of the account."""
    return _says(_NO_CREDIT, message)


def _says(words: re.Pattern[str], message: str | None) -> bool:
    return words.search((message or "")[:_LONGEST_MESSAGE]) is not None
