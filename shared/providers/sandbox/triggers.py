"""What a prompt may hold to get an answer that cannot be asked for otherwise."""

REFUSE = "[sandbox:refuse]"
FILTER = "[sandbox:filter]"

REFUSAL = "I am sorry, but I cannot help with that."
