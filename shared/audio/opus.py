"""How long a packet of Opus is, by its first two bytes.

https://www.rfc-editor.org/rfc/rfc6716#section-3.1
"""

LONGEST_PACKET = 0.12
# Of one frame, by the upper five bits of the first byte, in seconds: SILK, hybrid, CELT.
_SILK = (0.01, 0.02, 0.04, 0.06)
_HYBRID = (0.01, 0.02)
_CELT = (0.0025, 0.005, 0.01, 0.02)


def packet_seconds(packet: bytes) -> float:
    """A packet has 120 ms at most, whatever its first bytes say."""
    if not packet:
        return 0.0
    code = packet[0] >> 3
    frame = _SILK[code & 3] if code < 12 else _HYBRID[code & 1] if code < 16 else _CELT[code & 3]
    match packet[0] & 3:
        case 0:
            frames = 1
        case 1 | 2:
            frames = 2
        case _:
            frames = packet[1] & 63 if len(packet) > 1 else 0
    return min(frames * frame, LONGEST_PACKET)
