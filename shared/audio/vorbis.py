"""How long a packet of Vorbis is at most, by the stream's first packet.

https://xiph.org/vorbis/doc/Vorbis_I_spec.html#x1-630004.2.2
"""

MAGIC = b"\x01vorbis"


def packet_seconds(identification: bytes) -> float:
    """Half of a long block. Raises ValueError for a header that is damaged."""
    rate = int.from_bytes(identification[12:16], "little")
    if len(identification) < 29 or not rate:
        raise ValueError("not Vorbis")
    return (1 << (identification[28] >> 4)) / 2 / rate
