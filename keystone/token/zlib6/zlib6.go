// Package zlib6 compresses as the C library zlib does at level 6, byte for byte.
//
// Many streams are valid for one input (RFC 1951 leaves the choice of matches,
// block ends and codes to the compressor), so compress/zlib and zlib differ.
// Whoever must name a text that holds zlib's stream by its hash needs zlib's
// very choices. This package makes those of zlib 1.2 and 1.3 with default
// strategy, window bits 15, memory level 8 and all the input in one call: what
// Python's zlib.compress(data, 6) returns. Builds that choose matches in
// another way (zlib-ng, hardware deflate) have other streams.
package zlib6

import (
	"encoding/binary"
	"hash/adler32"
)

// Compress returns data as a zlib stream (RFC 1950): the header 78 9c, a deflate
// stream (RFC 1951) and the Adler-32 of data. It keeps no reference to data,
// which must be shorter than 2 GiB.
func Compress(data []byte) []byte {
	// 0x78: deflate with a 32 KiB window; 0x9c: default level, no dictionary.
	out := append(make([]byte, 0, len(data)+64), 0x78, 0x9c)
	e := encoder{data: data, w: bitWriter{out: out}, tokens: make([]token, 0, min(len(data), blockSymbols))}
	newParser(data).run(&e)
	return binary.BigEndian.AppendUint32(e.w.out, adler32.Checksum(data))
}
