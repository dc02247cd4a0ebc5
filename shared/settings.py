"""Everything an operator can set, read once from the environment."""

from collections.abc import Mapping
from dataclasses import field, fields
from enum import StrEnum

from shared.dataclass import dataclass

_PREFIX = "GATEWAY_"


class KeyHeader(StrEnum):
    """The header in which clients send their key."""

    AUTHORIZATION = "Authorization"
    X_API_KEY = "x-api-key"
    EITHER = "either"


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings, each read from `GATEWAY_` plus its name in capitals. Times are in seconds, sizes in bytes.

    `environment` is kept for the variables that the catalog refers to (providers' keys and base URLs); not in the repr.
    """

    environment: Mapping[str, str] = field(default_factory=dict, repr=False)

    sandbox: bool = False
    """Whether the built-in sandbox provider answers. `make run` turns it on."""
    catalog: str | None = None
    """A TOML file of providers and models that are added to the default catalog or replace its rows; in a stack an
    object, `s3://bucket/key`, whose changes functions take in within five minutes."""
    keys_table: str = "gateway-keys"
    """The DynamoDB table of keys."""
    limits_table: str | None = None
    """The DynamoDB table of limits and of today's usage. Without it, nothing is limited and no usage is recorded."""
    usage_table: str = "gateway-usage"
    """The DynamoDB table of past days' usage."""
    limits_fail_open: bool = False
    """Whether keys without a budget are admitted while DynamoDB cannot be reached."""
    settlement_wait: float = 1.0
    """How long what a request used may wait to be written together with that of others of its key: only while this
    process has more of them under way, and more than half of every limit is free."""
    allow_unpriced: bool = False
    """Whether keys with a budget may use models without a configured price, which are then free for them."""
    provider_secret: str | None = None
    """The Secrets Manager secret with providers' keys, keyed by environment variable names."""
    trust_authorizer: bool = False
    """Whether API Gateway's authorizer has checked the key. Off: each function does, as where none stands before it."""
    key_header: KeyHeader = KeyHeader.EITHER
    """The header that holds a client's key: `Authorization`, `x-api-key` or `either`."""
    usage_key: str | None = None
    """The API Gateway key for keys that have none of their own."""
    key_cache: float = 60.0
    """How long a function may go on trusting a key that it has looked up."""
    key_grace: float = 900.0
    """How long it may, counted from then, while the table of keys cannot be read. Other keys are answered 503."""
    default_max_tokens: int = 1024
    """`max_tokens` on /v1/chat/completions and /v1/completions where the caller gives none."""
    thinking_tokens: int = 8192
    """Tokens that a model which thinks gets on top of `default_max_tokens`, for its thinking."""
    max_body: int = 32 * 1024 * 1024
    """The largest request body. API Gateway allows 10 MB, and Lambda 6 MB, whatever is set here."""
    connect_timeout: float = 5.0
    upstream_timeout: float = 300.0
    """The time-out of a whole call to a provider."""
    first_event_wait: float = 10.0
    """How long a stream's status line waits for the provider's first event."""
    first_event_timeout: float = 30.0
    """How long a stream may take to say something before the next candidate is tried, where there is one."""
    circuit_failures: int = 5
    """How many calls of a provider's model in a row must fail for it to be skipped for a while; 0 for never. It is also
    skipped when half of at least ten calls within 30 seconds fail."""
    keep_alive: float = 15.0
    """The longest silence on a stream before a comment is sent."""
    media_bucket: str = "gateway-media"
    """The S3 bucket of generated images and uploaded files."""
    tenant_secret: str = "gateway-tenants"  # noqa: S105 - a name
    """The Secrets Manager secret that keys the hashes of tenants in the names of objects. It must never change."""
    image_url_lifetime: int = 3600
    """How long a generated image's URL is valid: at most 7 days, and no longer than the credentials that sign it."""
    max_stored_audio: int = 100 * 1024 * 1024
    """The largest stored file that is transcribed. Vendors have limits of their own, 25 MB and more."""
    max_stored_bytes: int = 100 * 2**30
    """How many bytes each tenant may store: uploads until they expire or are deleted, and the inputs of batches."""
    batches_table: str = "gateway-batches"
    """The DynamoDB table of batches."""
    batch_queue: str = "gateway-batches"
    """The SQS queue of batch work: its URL or its name."""
    batch_concurrency: int = 8
    """How many lines of one chunk of a batch are answered at once. Interactive requests share the providers' limits."""
    batch_share: float = 0.5
    """The share of a key's requests and tokens a minute that its batches may take; the rest is for interactive ones."""
    batch_chunk_lines: int = 100
    """The number of lines in a chunk of a batch. If a worker dies, unstored lines of its chunk are paid for again."""
    batch_lanes: int = 3
    """How many chunks of one batch wait or are answered at once; the next is sent when one is through. As many as all
    workers take at once let one batch keep them busy; `make run` takes one more, which is free for another batch."""
    batch_max_lines: int = 100_000
    """The most lines that one batch may have."""
    batch_max_bytes: int = 512 * 1024 * 1024
    """The largest input of a batch."""
    batch_url_lifetime: int = 3600
    """How long the URLs of a batch's results are valid; each request for the batch returns new ones."""
    store_responses: bool = True
    """Whether answers of /v1/responses are kept, for 30 days, unless a request says `store: false`. Off: none is."""
    fetch_http: bool = False
    """Whether images may be fetched by plain http."""

    @property
    def catalog_in_bucket(self) -> bool:
        """Whether `catalog` names an object and no file."""
        return self.catalog is not None and self.catalog.startswith("s3://")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """Reads the settings. Raises ValueError that names the variable when a value cannot be read."""
        values: dict[str, object] = {}
        for setting in fields(cls):
            variable = _PREFIX + setting.name.upper()
            text = environment.get(variable, "").strip()
            if setting.name != "environment" and text:
                values[setting.name] = _read(variable, text, setting.default)
        return cls(environment=environment, **values)  # type: ignore[arg-type]


def _read(variable: str, text: str, default: object) -> object:
    """The value of a variable, of the type of its default."""
    if isinstance(default, bool):
        if text.lower() not in _BOOLEANS:
            raise ValueError(f"{variable} must be on or off")
        return _BOOLEANS[text.lower()]
    if isinstance(default, KeyHeader):
        try:
            return KeyHeader(text)
        except ValueError:
            raise ValueError(f"{variable} must be one of: {', '.join(KeyHeader)}") from None
    if isinstance(default, (int, float)):
        try:
            number = type(default)(text)
        except ValueError:
            raise ValueError(f"{variable} must be a number") from None
        if not 0 <= number < 1e15:
            raise ValueError(f"{variable} must be a number of at least 0")
        return number
    return text


_BOOLEANS = {"on": True, "true": True, "1": True, "off": False, "false": False, "0": False}
