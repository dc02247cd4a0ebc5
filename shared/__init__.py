"""The gateway's own code, shared by all functions and shipped as one Lambda layer."""
