"""Words in letters of three by five squares, in which the sandbox writes under its pictures."""

import unicodedata

from shared.providers.sandbox.png import Canvas

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .,!?-'"
# Each letter is five octal digits, its rows from the top; the three bits of a digit are the squares from the left.
_ROWS = (
    "2575565656344436555674647746443455355755722271115255655444475775565555255526564425563656553421672222555575555255775"
    "55255552227124775557262276124761216557117461634757712227575775716000000000200024222027120200700"
    "22000"
)
_LETTER_WIDTH = 4
HEIGHT = 5


def written(text: str, longest: int) -> str:
    """What of a text can be written: its first whole words of at most `longest` letters, in capitals."""
    decomposed = unicodedata.normalize("NFKD", text[: longest * 8]).upper()
    letters = (letter for letter in decomposed if not unicodedata.combining(letter))
    words = "".join(letter if letter in _LETTERS else " " for letter in letters)
    line = ""
    for word in words.split():
        if len(line) + len(word) + 1 > longest:
            break
        line = f"{line} {word}".strip()
    return line


def write(canvas: Canvas, line: str, left: int, top: int, square: int, colour: int) -> None:
    """Writes a line of `written` letters, `square` pixels for each of their squares."""
    for number, letter in enumerate(line):
        for row, bits in enumerate(_rows(letter)):
            for column in range(3):
                if int(bits) & 4 >> column:
                    x = left + (number * _LETTER_WIDTH + column) * square
                    y = top + row * square
                    canvas.rectangle(x, y, x + square, y + square, colour)


def _rows(letter: str) -> str:
    offset = _LETTERS.index(letter) * HEIGHT
    return _ROWS[offset : offset + HEIGHT]


def width(line: str) -> int:
    """How many squares wide a line is."""
    return max(0, len(line) * _LETTER_WIDTH - 1)
