"""Write the vectors of TestVectors: python3 vectors.py, in this folder.

Each *.z is zlib.compress(input, 6) and so holds its own input. Needs stock zlib
(zlib.ZLIB_RUNTIME_VERSION without "zlib-ng"); the kept ones are of 1.2.13.
"""
import base64
import json
import random
import zlib

rng = random.Random(1951)


def pem(size):
    body = base64.encodebytes(rng.randbytes(size)).decode()
    return ("-----BEGIN CMS-----\n" + body + "-----END CMS-----\n").encode()


def catalog(services):
    return json.dumps({"token": {"methods": ["password"], "catalog": [
        {"type": rng.choice(["compute", "volume", "image"]), "id": rng.randbytes(16).hex(), "endpoints": [
            {"interface": i, "region": "RegionOne", "id": rng.randbytes(16).hex(),
             "url": "http://10.0.0.%d:%d/v2.0" % (rng.randrange(250), rng.randrange(5000, 9999))}
            for i in ("public", "internal", "admin")]} for _ in range(services)]}}).encode()


def words(count):
    vocabulary = [rng.randbytes(rng.randrange(1, 5)).hex() for _ in range(400)]
    return " ".join(vocabulary[int(400 * rng.random() ** 3)] for _ in range(count)).encode()


def long_codes():
    """Letters so unequal that Huffman codes want more than 15 bits."""
    left, a, b = [], 1, 2
    while sum(left) + a < 16383:
        left.append(a)
        if a < 377:
            a, b = b, a + b
    return left


def long_class_codes():
    """Letters whose codes have sizes so unequal that the header's own code wants more than 7 bits."""
    times = [5, 20, 1, 89, 56, 34, 14, 8, 1, 2]  # codes of 5, 6, ... bits
    left = [16384 >> size for size, n in enumerate(times, 5) for _ in range(n)]
    return [left[i * 101 % len(left)] for i in range(len(left))]  # neighbours differ: no runs


def sparse(left):
    """Letters in an order in which no three occur twice: there are no matches to even them out."""
    out, seen, misses = bytearray(), set(), 0
    while any(left) and misses < 1000:
        s = rng.choices(range(len(left)), left)[0]
        three = bytes(out[-2:]) + bytes([s])
        if len(three) == 3 and three in seen:
            misses += 1
            continue
        seen.add(three)
        out.append(s)
        left[s] -= 1
        misses = 0
    return bytes(out)


def window_edge(size):
    """What begins at 65274 occurs once before, 32506 bytes back: as far as a match may reach, if zlib has not
    moved its window to begin just there."""
    once = rng.randbytes(200)
    data = bytes(32767) + b"\x01" + once
    data += bytes(65274 - len(data)) + once
    return data + bytes(size - len(data))


def letters(size):
    return bytes(rng.choices(b"etaoinshrdlu", k=size))


once = rng.randbytes(300)
vectors = {
    "empty": b"",
    "one": b"a",
    "short": b"a token, a token, a token",
    "pem": pem(3000),
    "json": catalog(40),
    "random": rng.randbytes(20000),
    "zeros": bytes(512 << 10),
    "words": words(20000),
    "period": rng.randbytes(4097) * 60,
    "long-codes": sparse(long_codes()),
    "long-class-codes": sparse(long_class_codes()),
    # A match of three bytes from 4096 bytes back is taken, one from 4097 is not.
    "too-far": b"#ABC" + letters(4093) + b"ABCDEF" + letters(4094) + b"DEF",
    # The nearest match, of 128 bytes, ends the search for a longer one.
    "nice": once + b"." + once[:128] + b"," + once[:200],
    "edge-inside": window_edge(65600),
    "edge-at-end": window_edge(65535),
}
for name, data in vectors.items():
    with open(name + ".z", "wb") as f:
        f.write(zlib.compress(data, 6))
