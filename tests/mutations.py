"""Files damaged in ways that disks, editors and careless copies have: the same seed, the same damage."""

import json
import random
from typing import Any

WRONG: list[Any] = [
    *(None, True, "", "x", "../../x", "/etc/passwd", "<script>", "9" * 5_000, [], {}, [[[]]], {"a": {"b": 1}}, 0.5),
    *(10**400, 10**30, -1, 0, 1e308, float("nan"), float("inf"), 2**63),
]


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Bytes with a flip, a cut, a doubled or lost block, zeros, or something foreign in them."""
    size = len(content)
    at, length = rng.randrange(size), rng.randint(1, max(1, size // 4))
    head, block, tail = content[:at], content[at : at + length], content[at + length :]
    return [
        lambda: content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1 :],
        lambda: content[:at] + bytes([rng.randrange(256)]) + content[at:],
        lambda: content[:at],
        lambda: content[at:],
        lambda: head + block + block + tail,
        lambda: head + tail,
        lambda: head + bytes(len(block)) + tail,
        lambda: head + rng.randbytes(len(block)) + tail,
        lambda: head + b"\xff\xfe" + block + tail,
        lambda: head + rng.choice([b'"', b"\n", b"\r", b",", b"\t", b"[", b"{", b"\x00", b"[" * 50_000]) + block + tail,
        lambda: content + block,
        lambda: b"",
    ][rng.randrange(12)]()


def changed(value: Any, rng: random.Random) -> Any:
    """A JSON value with one part of it changed, lost, doubled, renamed or of another type."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(list(value))
        how = rng.randrange(8)
        if how == 0:
            return {name: inner for name, inner in value.items() if name != key}
        if how == 1:
            return {(name + "x" if name == key else name): inner for name, inner in value.items()}
        if how == 2:
            return {**value, key: value[rng.choice(list(value))]}
        return {**value, key: changed(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.9:
        at = rng.randrange(len(value))
        inner = rng.choice([[], [value[at]] * 2, [changed(value[at], rng)]])
        return [*value[:at], *inner, *value[at + 1 :]]
    return rng.choice(WRONG)


def changed_json(content: bytes, rng: random.Random) -> bytes:
    return json.dumps(changed(json.loads(content), rng)).encode()
