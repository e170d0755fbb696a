"""Encodings of text files: which one a file has, and the conversion of its bytes to UTF-8."""

from __future__ import annotations

import codecs
import io
import re
from typing import IO, Any

from pipeline.errors import ConfigError

UTF8 = "utf-8"
MARKS = (
    (codecs.BOM_UTF8, UTF8),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte-order marks. The decoders of UTF-16 and UTF-32 read them, which decides their order."""
WESTERN = "cp1252"
LATIN1 = codecs.lookup("latin-1").name
OTHER_SCRIPTS = ("cp1251", "koi8_r", "cp1253", "shift_jis", "euc_jp", "gb18030", "big5", "cp949")
"""Encodings of scripts other than Latin that are detected: Cyrillic, Greek, Japanese, Chinese,
Korean."""
WIDE = 0.4
"""Share of zero bytes in text of UTF-16; of English text, half are zero."""
FEW = 8
"""Characters below which shares say nothing."""
FOREIGN = 0.5
"""Share of bytes beyond ASCII among the letters, above which a script is not Latin."""
ALLOWED = re.compile(
    r"ascii|utf-8(-sig)?|utf-(16|32)(-[bl]e)?|iso8859-\d+|cp\d+|mac[-_]\w+|koi8[-_][rtu]|ptcp154|"
    r"kz1048|tis[-_]620|hp-roman8|johab|shift_jis\w*|euc_\w+|gb\w+|big5\w*"
)
"""Names of codecs whose text may be read: those without a state that earlier lines set."""
CONTROL = re.compile(rb"[\x00-\x08\x0e-\x19\x1b-\x1f]")
STEP = 256 << 10


def check_encoding(name: str) -> str:
    """Return Python's name of an encoding.

    Raises:
        ConfigError: There is no such encoding of text, or its newlines are not those of ASCII.
    """
    fix = "name one such as utf-8, cp1252, latin-1 or utf-16"
    try:
        codec = codecs.lookup(name)
        sample = "a,1;\n"
        # Files are cut at the bytes of newlines, so these must mean a newline everywhere.
        plain = sample.encode(codec.name) == sample.encode("ascii")
    except (LookupError, UnicodeError, ValueError, TypeError):
        raise ConfigError(f"csv.encoding: {name!r} is not an encoding", fix=fix) from None
    if not (ALLOWED.fullmatch(codec.name) and (plain or is_wide(codec.name))):
        raise ConfigError(f"csv.encoding: {name!r} does not write newlines as ASCII does", fix=fix)
    return UTF8 if codec.name == "utf-8-sig" else codec.name


def is_wide(encoding: str) -> bool:
    """Return whether a character takes two or four bytes, so that a byte 10 is not a newline."""
    return encoding.startswith(("utf-16", "utf-32"))


def detect_encoding(data: bytes) -> str:
    """Detect the encoding of text from a part of it.

    The byte-order mark decides, then whether the bytes are UTF-8, then their statistics. Text with
    more characters of UTF-8 than other bytes is UTF-8 with damaged values, which are bad rows.
    """
    marked = next((encoding for mark, encoding in MARKS if data.startswith(mark)), None)
    if marked is not None:
        return marked
    if wide := _detect_unmarked_utf16(data[:STEP]):
        return wide
    if _is_mostly_utf8(data) or CONTROL.search(data):
        return UTF8  # data with control characters are not text, which the reader of headers says
    # Lines of ASCII say nothing, and would outnumber the others.
    lines = b"\n".join(line for line in data.split(b"\n") if not line.isascii())[:STEP]
    beyond = sum(byte > 0x7F for byte in lines)
    if beyond > FOREIGN * (beyond + sum(chr(byte).isalpha() for byte in lines if byte < 0x80)):
        from charset_normalizer import from_bytes

        if best := from_bytes(lines, cp_isolation=list(OTHER_SCRIPTS)).best():
            return codecs.lookup(best.encoding).name
    # Statistics do not separate the encodings of Latin scripts in a table's few words: of six
    # samples of cp1252 and latin-1, charset-normalizer took five for cp1250, one for shift_jis.
    try:
        lines.decode(WESTERN)
    except UnicodeDecodeError:
        return LATIN1
    return WESTERN


def _is_mostly_utf8(data: bytes) -> bool:
    """Return whether there are no bytes that are not UTF-8, or more characters of it than those."""
    try:
        data.decode(UTF8)
    except UnicodeDecodeError:
        text = data.decode(UTF8, "surrogateescape")
        odd = sum("\udc80" <= c <= "\udcff" for c in text)
        return sum(c > "\x7f" for c in text) - odd > odd
    return True


def _detect_unmarked_utf16(data: bytes) -> str:
    """Return UTF-16 and its byte order if every second byte is mostly zero; empty otherwise."""
    half = len(data) // 2
    if half < FEW:
        return ""
    even, odd = data[: 2 * half : 2].count(0) / half, data[1 : 2 * half : 2].count(0) / half
    if odd > WIDE and even < WIDE / 4:
        return "utf-16-le"
    return "utf-16-be" if even > WIDE and odd < WIDE / 4 else ""


def to_utf8(data: bytes, encoding: str) -> bytes:
    """Convert whole lines to UTF-8; bytes that have no meaning stay, and are found to be bad."""
    if encoding == UTF8 or data.isascii():
        return data
    return data.decode(encoding, "surrogateescape").encode(UTF8, "surrogateescape")


def open_as_utf8(raw: Any, encoding: str) -> IO[bytes]:
    """Return a stream of UTF-8, converted step by step from a stream of another encoding."""
    return io.BufferedReader(_ConvertedStream(raw, encoding), STEP)


class _ConvertedStream(io.RawIOBase):
    """Text of any encoding as bytes of UTF-8; it can be read only from its beginning on."""

    def __init__(self, raw: Any, encoding: str) -> None:
        self._raw, self._rest, self._ended = raw, b"", False
        # Only bytes of the other encodings can be kept as they are.
        self._errors = "replace" if is_wide(encoding) else "surrogateescape"
        self._decoder = codecs.getincrementaldecoder(encoding)(self._errors)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest and not self._ended:
            data = bytes(self._raw.read(STEP))
            self._ended = not data
            self._rest = self._decoder.decode(data, final=self._ended).encode(UTF8, self._errors)
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size
