"""What a request uses, and what that costs."""

from shared.schemas.context import RequestContext
from shared.schemas.usage import Usage


def used(context: RequestContext, usage: Usage) -> None:
    """Adds what one call of a vendor has used to its request."""
    context.usage += usage
    if context.price is not None:
        from shared.pricing import cost

        context.cost = (context.cost or 0) + cost(usage, context.price)
