"""Canaries, every form in which one could leak, and a search that finds any eight bytes of any form.

The search puts each eight-byte word of each form into one set, reads the data as words at all eight offsets, and
looks closer only where a word is known. A hit is a run as long as eight characters of the canary take in that form.
"""

import base64
import codecs
import hashlib
import os
import secrets
import string
import zlib
from dataclasses import dataclass, field

ALPHABET = string.ascii_letters + string.digits
WINDOW = 8
THOROUGH = bool(os.environ.get("CANARY_THOROUGH"))


def fresh(size: int = 40) -> bytes:
    return "".join(secrets.choice(ALPHABET) for _ in range(size)).encode()


def shaped() -> bytes:
    """Looks like a key of a well-known service; made here, so that nothing in the repository does."""
    return b"gh" + b"p_" + fresh(36)


@dataclass
class Canary:
    name: str
    kind: str
    value: bytes
    # (sink, part of the label): the exact flows in which it may be seen.
    allowed: list[tuple[str, str]] = field(default_factory=list)
    # Random enough that its plain SHA-256 tells nothing: what it is looked up by.
    is_kept_hashed: bool = False

    def may_be_in(self, sink: str, label: str) -> bool:
        return any(sink == s and part in label for s, part in self.allowed)


def each(value: bytes, piece) -> tuple[bytes, int]:
    """The form made of a piece for each byte, and the length of the shortest eight of them."""
    pieces = [piece(b) for b in value]
    shortest = min(sum(map(len, pieces[i:i + WINDOW])) for i in range(max(1, len(pieces) - WINDOW + 1)))
    return b"".join(pieces), shortest


def forms(value: bytes) -> dict[str, tuple[bytes, int]]:
    """Name of the form -> (the form, how much of it in a row is a leak)."""
    made = {"raw": (value, WINDOW), "reversed": (value[::-1], WINDOW)}
    if value.isascii() and value.decode().isprintable():
        text = value.decode()
        made["lower case"] = (text.lower().encode(), WINDOW)
        made["upper case"] = (text.upper().encode(), WINDOW)
        made["rot13"] = (codecs.encode(text, "rot13").encode(), WINDOW)
        made["utf-16le"] = (text.encode("utf-16le"), 2 * WINDOW)
        made["utf-16be"] = (text.encode("utf-16be"), 2 * WINDOW)
    for case, spell in (("lower", "%02x"), ("upper", "%02X")):
        byte = lambda b, spell=spell: (spell % b).encode()
        made[f"hex {case}"] = each(value, byte)
        made[f"percent {case}"] = each(value, lambda b: b"%" + byte(b))
        made[f"json escapes {case}"] = each(value, lambda b: b"\\u00" + byte(b))
        made[f"rust escapes {case}"] = each(value, lambda b: b"\\x" + byte(b))
        made[f"quoted printable {case}"] = each(value, lambda b: b"=" + byte(b))
        made[f"html hex {case}"] = each(value, lambda b: b"&#x" + byte(b) + b";")
    made["html decimal"] = each(value, lambda b: b"&#%d;" % b)
    for name, gap in (("spaced", b", "), ("tight", b","), ("by spaces", b" ")):
        form, shortest = each(value, lambda b, gap=gap: b"%d" % b + gap)
        made[f"decimal {name}"] = (form[:-len(gap)], shortest - len(gap))
    for shift in range(3):
        # The characters at the ends mix with what stands around it.
        plain = base64.b64encode(b"\0" * shift + value).rstrip(b"=")
        cut = plain[(0, 2, 3)[shift]:len(plain) - ((shift + len(value)) % 3 != 0)]
        made[f"base64 at {shift}"] = (cut, 10)
        url = cut.translate(bytes.maketrans(b"+/", b"-_"))
        if url != cut:
            made[f"base64url at {shift}"] = (url, 10)
    for name in ("md5", "sha1", "sha256"):
        digest = hashlib.new(name, value).digest()
        made[name] = (digest, WINDOW)
        made[f"{name} hex"] = (digest.hex().encode(), 2 * WINDOW)
        made[f"{name} hex upper"] = (digest.hex().upper().encode(), 2 * WINDOW)
        made[f"{name} base64"] = (base64.b64encode(digest), 10)
    crc = b"%08x" % zlib.crc32(value)
    made["crc32"] = (crc, 8)
    if crc.upper() != crc:
        made["crc32 upper"] = (crc.upper(), 8)
    return made


class Search:
    def __init__(self):
        self.canaries: dict[str, Canary] = {}
        self.forms: list[tuple[Canary, str, bytes, int]] = []
        self.at: dict[int, list[tuple[int, int]]] = {}
        self.words: set[int] = set()

    def add(self, canary: Canary) -> Canary:
        assert canary.name not in self.canaries, canary.name
        self.canaries[canary.name] = canary
        for name, (form, run) in forms(canary.value).items():
            if name == "sha256" and canary.is_kept_hashed:
                continue
            for i in range(len(form) - 7):
                word = int.from_bytes(form[i:i + 8], "little")
                self.at.setdefault(word, []).append((len(self.forms), i))
                self.words.add(word)
            self.forms.append((canary, name, form, run))
        return canary

    def find(self, data, in_memory: bool = False) -> set[tuple[str, str]]:
        """(canary, form) of everything that `data` holds.

        Memory is read as words at two offsets, which finds every eleven bytes in a row: it is most of what is searched.
        """
        found: set[tuple[str, str]] = set()
        view = memoryview(data)
        for offset in (0, 4) if in_memory and not THOROUGH else range(min(8, len(data))):
            words = view[offset:offset + (len(data) - offset) // 8 * 8].cast("Q")
            if not self.words.isdisjoint(words):
                for word in self.words.intersection(words):
                    self.closer(data, word, found, in_memory)
        return found

    def closer(self, data: bytes, word: int, found: set, in_memory: bool) -> None:
        if all((self.forms[n][0].name, self.forms[n][1]) in found for n, _ in self.at[word]):
            return
        eight = word.to_bytes(8, "little")
        position = data.find(eight)
        tries = 0
        while position >= 0 and tries < 1000:
            for number, i in self.at[word]:
                canary, name, form, run = self.forms[number]
                key = (canary.name, name)
                if key in found:
                    continue
                if name.startswith("crc32") and (in_memory or not alone(data, position)):
                    continue
                begin, end = i, i + 8
                while begin > 0 and position - (i - begin) > 0 and data[position - (i - begin) - 1] == form[begin - 1]:
                    begin -= 1
                while end < len(form) and position + (end - i) < len(data) and data[position + (end - i)] == form[end]:
                    end += 1
                if end - begin >= run:
                    found.add(key)
            position, tries = data.find(eight, position + 1), tries + 1

    def inflated(self, data: bytes) -> set[tuple[str, str]]:
        """What is in `data`, and in everything that gzip or zlib packed into it."""
        found = self.find(data)
        for magic, bits in ((b"\x1f\x8b\x08", 31), (b"\x78\x01", 15), (b"\x78\x5e", 15), (b"\x78\x9c", 15), (b"\x78\xda", 15)):
            position = data.find(magic)
            while position >= 0:
                try:
                    inside = zlib.decompressobj(bits).decompress(data[position:position + 65536], 1 << 20)
                except zlib.error:
                    inside = b""
                found |= {(c, f"compressed {f}") for c, f in self.find(inside)}
                position = data.find(magic, position + 1)
        return found


def alone(data: bytes, position: int) -> bool:
    """Whether the eight digits are no part of a longer number."""
    hexdigits = b"0123456789abcdefABCDEF"
    before = data[position - 1:position] if position else b""
    after = data[position + 8:position + 9]
    return not (before and before in hexdigits) and not (after and after in hexdigits)
