"""How long recordings are at most, told by what a decoder has to follow and not by what their headers claim."""
