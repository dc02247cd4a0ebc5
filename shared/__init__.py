"""The gateway's own code: everything that the functions share, shipped as one Lambda layer."""
