"""Compress what comes on standard input as Keystone does.

Input: frames of a four byte big-endian length and so many bytes. Output: frames
in the same form, first one with the version of the zlib library in use, then
zlib.compress(frame, 6) of each.
"""
import struct
import sys
import zlib


def frames(f):
    while True:
        head = f.read(4)
        if not head:
            return
        size, = struct.unpack(">I", head)
        data = f.read(size)
        if len(head) != 4 or len(data) != size:
            sys.exit("a frame ends early")
        yield data


def put(f, data):
    f.write(struct.pack(">I", len(data)))
    f.write(data)


put(sys.stdout.buffer, zlib.ZLIB_RUNTIME_VERSION.encode())
for frame in frames(sys.stdin.buffer):
    put(sys.stdout.buffer, zlib.compress(frame, 6))
