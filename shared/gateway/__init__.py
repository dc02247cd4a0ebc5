"""The core that connects the parts: a module for each kind of request, and what they share."""
