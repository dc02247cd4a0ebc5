"""How one request reaches its provider: the address, the key and the deadline, and who must not read them."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from urllib.parse import urlsplit

from pydantic_core import from_json

from shared.errors import GatewayError, UpstreamError
from shared.providers.base import REMOVED, Adapter, Call, error_for_status
from shared.schemas.caller import Caller
from shared.schemas.context import RequestContext
from shared.schemas.model import Model

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from shared.upstream import Answer, Upstream

AdapterT = TypeVar("AdapterT", bound=Adapter)
T = TypeVar("T")

# What an adapter raises on a body that is not its vendor's format.
_UNREADABLE = (KeyError, TypeError, ValueError, IndexError, AttributeError, ArithmeticError, RecursionError)
_SHORTEST_SECRET = 8


def caller_of(context: RequestContext) -> Caller:
    """Who makes the request."""
    assert context.caller is not None, "routes authenticate before they call the gateway"
    return context.caller


@dataclass(frozen=True, slots=True)
class Route(Generic[AdapterT]):
    """A model with what is needed to call it. `deadline` is on the event loop's clock."""

    model: Model
    adapter: AdapterT
    upstream: "Upstream"
    base_url: str
    api_key: str | None = field(repr=False)
    deadline: float
    request_id: str

    def open(self, call: Call) -> "AbstractAsyncContextManager[Answer]":
        """Makes a call; its answer may be of any status. Raises UpstreamTimeout and UpstreamError."""
        auth = self.adapter.auth(self.api_key) if self.api_key else {}
        headers = {"x-request-id": self.request_id, **call.headers, **auth}
        return self.upstream.open(
            call.method,
            self.base_url + call.path,
            headers=headers,
            json=call.json,
            form=call.form,
            deadline=self.deadline,
        )

    async def body(self, call: Call) -> bytes:
        """The body of a successful answer. Raises the error that any other answer means."""
        async with self.open(call) as answer:
            await self.check(answer)
            return await answer.read()

    async def answer(self, call: Call, read: Callable[[Any], T]) -> T:
        """What `read` makes of the JSON in a call's answer."""
        body = await self.body(call)
        with self.reading():
            decoded = from_json(body)
            del body  # a large one must not be held beside what is made of it
            return read(decoded)

    async def check(self, answer: "Answer") -> None:
        """Raises the error that an answer means, if it is no success."""
        if answer.status >= 400:
            raise self._error(answer.status, answer.headers, await answer.read())

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Around all that reads an answer: makes every failure in it one that a caller may see."""
        try:
            yield
        except GatewayError as error:
            raise self._told(error) from None
        except _UNREADABLE:
            raise UpstreamError("The provider's answer could not be read.") from None

    def _error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        try:
            return self._told(self.adapter.error(status, headers, body))
        except _UNREADABLE:  # a body that is an error, but not in the vendor's format
            return error_for_status(status, headers, None)

    def _told(self, error: GatewayError) -> GatewayError:
        """The error without our own key and the vendor's host, should the vendor have put them into its words."""
        for secret in self._private():
            error.message = error.message.replace(secret, REMOVED)
        return error

    def _private(self) -> Iterator[str]:
        """What of a provider's configuration no caller may read; a key that is a mere word would spoil messages."""
        address = urlsplit(self.base_url)
        found = (self.api_key, address.netloc, address.hostname)
        return (secret for secret in found if secret and len(secret) >= _SHORTEST_SECRET)
