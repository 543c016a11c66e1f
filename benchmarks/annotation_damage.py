"""Damage to annotation files: what disks, editors, exporters and hands do to them, chosen at random."""

from __future__ import annotations

import json
import random
import re

NUMBERS = [
    "nan",
    "-inf",
    "1e400",
    "-0",
    "0",
    "1,5",
    '"1"',
    "1.0",
    "1e2",
    "99999999999999999999",
    "-7",
    "1_0",
    "٣",
    "true",
]
WORDS = [
    "",
    " ",
    "\ufeff",
    "\\ud800",
    "null",
    "RBC ",
    "rbc",
    "é",
    "\u202e",
    "x" * 3000,
    "../..",
    "C:\\a.jpg",
    "/a.jpg",
    "\0",
]
ENCODINGS = ["utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252"]
TOKEN = re.compile(r'"[^"\n]*"|[-+\w.]+')
NUMBER = re.compile(r"(?<![\w.])-?\d+(\.\d+)?(?![\w.])")


def damage_bytes(content: bytes, rng: random.Random) -> bytes:
    """Some bytes changed, removed, doubled, or everything from somewhere on."""
    for _ in range(rng.choice((1, 1, 3, 10))):
        at = rng.randrange(len(content) + 1)
        size = rng.choice((1, 1, 5, 50))
        middle = content[at : at + size]
        match rng.randrange(5):
            case 0:
                middle = bytes(rng.randrange(256) for _ in middle)
            case 1:
                middle = b""
            case 2:
                middle = middle * 2
            case 3:
                middle = bytes(byte ^ (1 << rng.randrange(8)) for byte in middle)
            case _:
                if rng.random() < 0.3:
                    return content[:at]
        content = content[:at] + middle + content[at + size :]
    return content


def replace_one(pattern: re.Pattern[str], text: str, rng: random.Random, choices: list[str]) -> str:
    """One match of a pattern replaced by one of the choices."""
    found = list(pattern.finditer(text))
    if not found:
        return text
    match = rng.choice(found)
    chosen = rng.choice(choices)
    if match[0].startswith('"') and rng.random() < 0.7:
        chosen = f'"{chosen}"'
    return text[: match.start()] + chosen + text[match.end() :]


def damage_lines(text: str, rng: random.Random) -> str:
    """A line removed, doubled, moved or joined with the next."""
    lines = text.splitlines(keepends=True) or [""]
    at = rng.randrange(len(lines))
    match rng.randrange(4):
        case 0:
            del lines[at]
        case 1:
            lines.insert(at, lines[at])
        case 2:
            lines.insert(rng.randrange(len(lines)), lines.pop(at))
        case _:
            lines[at] = lines[at].rstrip("\r\n") + rng.choice(("", " ", "\r", "\x0b", "\u2028"))
    return "".join(lines)


def damage_json(text: str, rng: random.Random) -> str:
    """A value of a JSON tree replaced, removed, doubled or wrapped."""
    try:
        tree = json.loads(text)
    except ValueError:
        return text
    node = tree
    while isinstance(node, (dict, list)) and node:
        key = rng.choice(list(node) if isinstance(node, dict) else range(len(node)))
        if not (isinstance(node[key], (dict, list)) and node[key]) or rng.random() < 0.15:
            match rng.randrange(4):
                case 0:
                    del node[key]
                case 1:
                    node[key] = rng.choice(
                        [None, True, [], {}, "", 0, -1, 1.5, "1", 10**30, [node[key]], str(node[key])]
                    )
                case 2 if isinstance(node, list):
                    node.insert(rng.randrange(len(node)), node[key])
                case _:
                    node[key] = {"x": node[key]} if rng.random() < 0.3 else json.loads(json.dumps(rng.choice(NUMBERS)))
            break
        node = node[key]
    return json.dumps(tree, ensure_ascii=rng.random() < 0.5)


def damage(content: bytes, rng: random.Random) -> bytes:
    """One mutation of an annotation file."""
    kind = rng.randrange(7)
    if kind == 0:
        return damage_bytes(content, rng)
    text = content.decode()
    if kind == 1:
        return replace_one(NUMBER, text, rng, NUMBERS).encode()
    if kind == 2:
        return replace_one(TOKEN, text, rng, WORDS).encode()
    if kind == 3:
        return damage_lines(text, rng).encode()
    if kind == 4 and text.lstrip().startswith("{"):
        return damage_json(text, rng).encode("utf-8", "surrogatepass")
    if kind == 5:
        return text.encode(rng.choice(ENCODINGS), "replace")
    found = TOKEN.findall(text)
    return replace_one(TOKEN, text, rng, [rng.choice(found), rng.choice(found)]).encode() if found else content


def damage_record(content: bytes, rng: random.Random) -> bytes:
    """One mutation of a serialised example: a feature removed, cut, doubled, of another kind, or of other bytes."""
    import tensorflow as tf

    if rng.random() < 0.3:
        return damage_bytes(content, rng)
    example = tf.train.Example.FromString(content)
    values = example.features.feature
    feature = values[rng.choice(sorted(set(values) - {"image/encoded"}))]
    numbers = feature.WhichOneof("kind")
    if numbers is None:
        return content
    entries = getattr(feature, numbers).value
    at = rng.randrange(len(entries)) if entries else 0
    match rng.randrange(4):
        case 0:
            feature.Clear()
        case 1 if entries:
            entries.pop(at)
        case 2 if entries:
            entries.append(entries[at])
        case _:
            if numbers == "float_list" and entries:
                entries[at] = rng.choice((float("nan"), float("inf"), -1.0, 0.0, 2.0, 1e38))
            elif numbers == "bytes_list" and entries:
                entries[at] = rng.choice((b"", b"\xff\xfe", b" RBC", "é".encode(), b"a\0b", b"\xef\xbb\xbfWBC"))
    return example.SerializeToString()
