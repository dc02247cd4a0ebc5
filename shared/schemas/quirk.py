"""How an upstream model's API differs from what its adapter assumes by default."""

from enum import StrEnum


class Quirk(StrEnum):
    """Quirks, grouped by the adapter that handles them. A model has those of its catalog row and of its provider.

    "Refuses" means that the provider returns an error for a request with the field.
    """

    # --- Any adapter ---

    ALWAYS_THINKS = "always_thinks"
    """Thinking cannot be switched off: the lowest effort is sent instead (Gemini: LOW, since MINIMAL is refused)."""
    SINGLE_CANDIDATE = "single_candidate"
    """More than one candidate a call is refused or ignored: the gateway makes several calls."""
    NO_PREFILL = "no_prefill"
    """A conversation that ends with an assistant message is refused."""
    NO_GIF = "no_gif"
    """Refuses GIF images: the first frame is sent as PNG."""
    BRIGHTNESS_MASK = "brightness_mask"
    """Image masks are read by brightness, white being edited: the transparency of a PNG mask is converted."""
    INLINE_IMAGES = "inline_images"
    """Takes images as bytes only, not by URL."""
    THINKS_WHEN_ASKED = "thinks_when_asked"
    """Does not think, or hardly, unless a reasoning effort asks for it."""
    REASONING_OPT_IN = "reasoning_opt_in"
    """The public id once named a model that did not reason: reasoning is off unless the caller asks for it."""
    NO_FORCED_TOOL_CHOICE = "no_forced_tool_choice"
    """Takes `tool_choice` "auto" and "none" only; "required" and a named tool are refused."""
    NO_LOGPROBS = "no_logprobs"
    """Refuses `logprobs` and `top_logprobs`."""
    SEARCH_WITHOUT_TOOLS = "search_without_tools"
    """Searches the web only in requests without other tools."""

    # --- OpenAI: chat ---

    MAX_COMPLETION_TOKENS = "max_completion_tokens"
    """Refuses `max_tokens`; the field is called `max_completion_tokens`."""
    DEFAULT_TEMPERATURE_ONLY = "default_temperature_only"
    """Refuses penalties, logprobs, `logit_bias`, and `temperature` and `top_p` other than the default.

    A model that also has RESPONSES takes them with reasoning effort "none".
    """
    UNKNOWN_FIELDS = "unknown_fields"
    """OpenAI itself: takes fields of chat completions that the gateway does not know."""
    RESPONSES = "responses"
    """Called through the Responses API: chat completions take function tools only with `reasoning_effort` "none"."""
    THINKING_SWITCH = "thinking_switch"
    """Reasoning is switched off by `thinking: {type: disabled}`, not by `reasoning_effort` "none"."""
    REASONING_CONTENT = "reasoning_content"
    """An assistant message with tool calls must be sent back with its `reasoning_content`."""
    REASONING_DETAILS = "reasoning_details"
    """Takes its `reasoning_details` back unchanged."""
    REASONING_FIELD = "reasoning_field"
    """Takes reasoning back in the field `reasoning`."""
    FILE_URLS = "file_urls"
    """Fetches documents from URLs."""
    THINKING_PARTS = "thinking_parts"
    """Takes thinking back as parts of the content."""
    SHORT_CALL_IDS = "short_call_ids"
    """Tool call ids must be nine letters and digits."""
    NO_MINIMAL_EFFORT = "no_minimal_effort"
    """Refuses `reasoning_effort` "minimal": "low" is sent."""
    NO_MAX_EFFORT = "no_max_effort"
    """Refuses `reasoning_effort` "max": "xhigh" is sent."""
    NO_STOP = "no_stop"
    """Refuses `stop`: the gateway cuts the text."""
    NO_PENALTIES = "no_penalties"
    """Refuses `presence_penalty` and `frequency_penalty`."""
    NO_VERBOSITY = "no_verbosity"
    """Refuses `verbosity`."""
    NO_LOGIT_BIAS = "no_logit_bias"
    """Refuses `logit_bias`."""
    NO_STREAM_USAGE = "no_stream_usage"
    """Refuses `stream_options`, and reports usage in the last chunk without it."""
    NO_USER = "no_user"
    """Refuses `user`, also on embeddings."""
    RANDOM_SEED = "random_seed"
    """The field `seed` is called `random_seed`."""
    REASONING_BUDGET = "reasoning_budget"
    """Takes a budget for reasoning in `reasoning: {max_tokens}`."""
    SEARCH_TOOL = "search_tool"
    """Takes a tool of its own, `openrouter:web_search`, in place of `web_search_options`."""
    NO_TIERS = "no_tiers"
    """Has no service tiers: refuses or ignores `service_tier`."""
    ON_DEMAND_TIER = "on_demand_tier"
    """Calls the service tiers `default` and `priority` `on_demand` and `performance`, and has no `scale`."""
    NO_CACHE_KEY = "no_cache_key"
    """Refuses or ignores `prompt_cache_key`."""
    CONVERSATION_HEADER = "conversation_header"
    """Takes a cache key in the header `x-grok-conv-id` only."""
    CACHE_CONTROL = "cache_control"
    """Takes Anthropic's `cache_control`."""
    CACHE_BREAKPOINTS = "cache_breakpoints"
    """Takes `prompt_cache_breakpoint` in messages that are not the assistant's, and `prompt_cache_options`."""

    # --- OpenAI: images ---

    IMAGE_B64_ONLY = "image_b64_only"
    """Takes GPT Image's parameters, refuses `response_format` and `style`, and always answers base64."""
    IMAGE_ASPECT_RATIO = "image_aspect_ratio"
    """Takes `aspect_ratio` and `resolution` in place of `size`; edits are JSON and have no mask."""
    IMAGE_PIXELS = "image_pixels"
    """Takes `width` and `height` in place of `size`, and `response_format` "base64"; no input images."""
    NO_INPUT_FIDELITY = "no_input_fidelity"
    """Refuses `input_fidelity`."""

    # --- OpenAI: embeddings ---

    SMALL_BATCHES = "small_batches"
    """The provider documents no number of inputs a call (OpenAI: 2,048): at most 128 are sent."""
    TEXT_INPUTS_ONLY = "text_inputs_only"
    """Takes no token ids."""
    FLOAT_EMBEDDINGS = "float_embeddings"
    """Has no `encoding_format`: vectors are lists of numbers."""
    NO_DIMENSIONS = "no_dimensions"
    """Vectors have one length only."""
    OUTPUT_DIMENSION = "output_dimension"
    """The field `dimensions` is called `output_dimension`."""

    # --- OpenAI: transcription and speech ---

    JSON_TRANSCRIPTS = "json_transcripts"
    """Transcribes with `response_format` "json" only: no timestamps, no subtitles."""
    LANGUAGES_LIST = "languages_list"
    """Takes the languages of a recording in the list `languages`, and the list `keywords`."""
    NO_TRANSCRIPT_STREAM = "no_transcript_stream"
    """Does not stream transcripts."""
    NO_SPEECH_INSTRUCTIONS = "no_speech_instructions"
    """Refuses or ignores `instructions` for speech."""
    WAV_SPEECH = "wav_speech"
    """Speaks in WAV only."""

    # --- Anthropic ---

    NO_SAMPLING = "no_sampling"
    """Refuses `temperature`, `top_p` and `top_k`."""
    TEMPERATURE_OR_TOP_P = "temperature_or_top_p"
    """Refuses `temperature` and `top_p` together."""
    ADAPTIVE_THINKING = "adaptive_thinking"
    """Takes `thinking: {type: adaptive}` and `output_config.effort`, and refuses budgets.

    Thinks within `max_tokens` where neither is sent.
    """
    BUDGET_THINKING = "budget_thinking"
    """Takes `thinking: {type: enabled, budget_tokens}`, and does not think unless asked to."""
    THINKING_BETWEEN_TOOLS = "thinking_between_tools"
    """Thinking is switched off by `{type: between_tools}`; `{type: disabled}` is refused."""
    BOUND_THINKING = "bound_thinking"
    """Refuses thinking blocks whose preceding history has changed, unless asked to drop them."""

    # --- Bedrock ---

    CACHE_POINTS = "cache_points"
    """Takes `cachePoint` blocks."""
    NO_STRICT_TOOLS = "no_strict_tools"
    """Refuses `strict` tools: they are sent without it."""
    LONE_TOOL_RESULTS = "lone_tool_results"
    """Refuses anything beside tool results in a turn."""
    EFFORT_FIELD = "effort_field"
    """Takes `reasoning_effort`."""
    EFFORT_OBJECT = "effort_object"
    """Takes `reasoning: {effort}`."""
    NOVA_REASONING = "nova_reasoning"
    """Takes `reasoningConfig: {type, maxReasoningEffort}` with "low", "medium" and "high", the last without limits."""

    # --- Gemini ---

    THINKING_LEVEL = "thinking_level"
    """Takes `thinkingConfig.thinkingLevel`, and thinks within `maxOutputTokens` where it is absent."""
    EXTREME_RATIOS = "extreme_ratios"
    """Makes images of the aspect ratios 1:4, 4:1, 1:8 and 8:1 as well."""
    IMAGES_1K = "images_1k"
    """Makes images of the resolution 1K only, not 2K and 4K."""
    AUDIO_TRANSCRIPTION_CONFIG = "audio_transcription_config"
    """Transcription has fields for the language, expected words and word times; other models need them in a prompt."""
