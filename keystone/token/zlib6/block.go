package zlib6

import (
	"encoding/binary"
	"math/bits"
)

const (
	// blockSymbols literals and matches end a block: zlib at memory level 8
	// has room for 1<<14 and never uses the last.
	blockSymbols = 1<<14 - 1

	endOfBlock      = 256
	distanceSymbols = 30
	classSymbols    = 19
	repeatLast      = 16 // classes: the size before, 3 to 6 times
	repeatZero      = 17 // zero, 3 to 10 times
	repeatZeroLong  = 18 // zero, 11 to 138 times
)

// Values of BTYPE (RFC 1951 section 3.2.3).
const (
	typeStored = iota
	typeFixed
	typeDynamic
)

// classOrder is the order in which a header lists the sizes of its class codes
// (RFC 1951 section 3.2.7).
var classOrder = [classSymbols]int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// The fixed codes (RFC 1951 section 3.2.6). Two literal codes are never used.
var fixedSizes, fixedDistanceSizes = func() (literal [maxSymbols + 2]uint8, distance [distanceSymbols]uint8) {
	for s := range literal {
		switch {
		case s < 144:
			literal[s] = 8
		case s < 256:
			literal[s] = 9
		case s < 280:
			literal[s] = 7
		default:
			literal[s] = 8
		}
	}
	for s := range distance {
		distance[s] = 5
	}
	return literal, distance
}()

// token is a literal (the byte), or a match: distance<<8 | length-minMatch.
type token uint32

// encoder gathers tokens into blocks and writes each block in the shortest of
// the three ways, as zlib reckons it.
type encoder struct {
	data   []byte
	w      bitWriter
	start  int // of the block, in data
	tokens []token

	literals  [maxSymbols]int // how often each occurs in the block
	distances [distanceSymbols]int
}

// literal adds one byte and reports whether the block is full.
func (e *encoder) literal(b byte) bool {
	e.literals[b]++
	e.tokens = append(e.tokens, token(b))
	return len(e.tokens) == blockSymbols
}

// match adds a match and reports whether the block is full.
func (e *encoder) match(length, distance int) bool {
	symbol, _ := lengthSymbol(length - minMatch)
	e.literals[symbol]++
	symbol, _ = distanceSymbol(distance - 1)
	e.distances[symbol]++
	e.tokens = append(e.tokens, token(distance<<8|(length-minMatch)))
	return len(e.tokens) == blockSymbols
}

// endBlock writes the block that ends before end. zlib cannot store a block once
// its beginning has left the window; but then half of its bytes at least came
// from matches, and the fixed codes win.
func (e *encoder) endBlock(end int, last bool) {
	e.literals[endOfBlock] = 1
	literalSizes := codeSizes(e.literals[:], maxBits)
	distanceSizes := codeSizes(e.distances[:], maxBits)
	h := newHeader(literalSizes, distanceSizes)

	dynamic := wholeBytes(h.cost() + e.cost(literalSizes, distanceSizes))
	fixed := wholeBytes(e.cost(fixedSizes[:], fixedDistanceSizes[:]))
	stored := e.data[e.start:end]

	var final uint
	if last {
		final = 1
	}
	switch {
	case len(stored)+4 <= min(dynamic, fixed):
		e.w.put(typeStored<<1|final, 3)
		e.w.align()
		e.w.out = binary.LittleEndian.AppendUint16(e.w.out, uint16(len(stored)))
		e.w.out = binary.LittleEndian.AppendUint16(e.w.out, ^uint16(len(stored)))
		e.w.out = append(e.w.out, stored...)
	case fixed <= dynamic:
		e.w.put(typeFixed<<1|final, 3)
		e.write(fixedSizes[:], fixedDistanceSizes[:])
	default:
		e.w.put(typeDynamic<<1|final, 3)
		h.write(&e.w)
		e.write(literalSizes, distanceSizes)
	}
	if last {
		e.w.align()
	}
	e.start, e.tokens = end, e.tokens[:0]
	clear(e.literals[:])
	clear(e.distances[:])
}

// wholeBytes is the length of a block of n bits and its three type bits.
func wholeBytes(n int) int { return (n + 3 + 7) / 8 }

// cost is how many bits the tokens and the end of the block take.
func (e *encoder) cost(literalSizes, distanceSizes []uint8) int {
	n := 0
	for s, times := range e.literals {
		if times > 0 {
			n += times * (int(literalSizes[s]) + lengthExtra(s))
		}
	}
	for s, times := range e.distances {
		if times > 0 {
			n += times * (int(distanceSizes[s]) + distanceExtra(s))
		}
	}
	return n
}

// write writes the tokens and the end of the block.
func (e *encoder) write(literalSizes, distanceSizes []uint8) {
	var literals [maxSymbols + 2]code
	var distances [distanceSymbols]code
	canonical(literals[:], literalSizes)
	canonical(distances[:], distanceSizes)
	for _, t := range e.tokens {
		if t < 1<<8 {
			e.w.putCode(literals[t])
			continue
		}
		symbol, extra := lengthSymbol(int(t & 0xff))
		e.w.putCode(literals[symbol])
		e.w.put(extra, lengthExtra(symbol))
		symbol, extra = distanceSymbol(int(t>>8) - 1)
		e.w.putCode(distances[symbol])
		e.w.put(extra, distanceExtra(symbol))
	}
	e.w.putCode(literals[endOfBlock])
}

// lengthSymbol returns the symbol and the value of the extra bits of a match
// that is n bytes longer than minMatch (RFC 1951 section 3.2.5): four symbols
// for each number of extra bits, eight for none, and one of its own for the
// longest.
func lengthSymbol(n int) (symbol int, extra uint) {
	if n == maxMatch-minMatch {
		return maxSymbols - 1, 0
	}
	x := max(bits.Len(uint(n))-3, 0)
	return endOfBlock + 1 + 4*x + n>>x, uint(n) & (1<<x - 1)
}

// lengthExtra returns how many extra bits follow a symbol of the literal code.
func lengthExtra(symbol int) int {
	n := symbol - endOfBlock - 1
	if n < 8 || symbol == maxSymbols-1 {
		return 0
	}
	return n/4 - 1
}

// distanceSymbol is lengthSymbol for a match n+1 bytes back: two symbols for
// each number of extra bits, four for none.
func distanceSymbol(n int) (symbol int, extra uint) {
	x := max(bits.Len(uint(n))-2, 0)
	return 2*x + n>>x, uint(n) & (1<<x - 1)
}

// distanceExtra is lengthExtra for the distance code.
func distanceExtra(symbol int) int { return max(symbol/2-1, 0) }

// header is what precedes the tokens of a dynamic block: the sizes of its codes
// as runs of classes, which have a Huffman code of their own (RFC 1951 section
// 3.2.7).
type header struct {
	literals, distances int // how many sizes there are of each
	runs                []run
	classes             [classSymbols]int // how often each occurs
	sizes               [classSymbols]uint8
	listed              int // sizes, in classOrder
}

// run is one class symbol with its extra bits.
type run struct {
	class int
	extra uint
}

func newHeader(literalSizes, distanceSizes []uint8) *header {
	h := &header{literals: len(literalSizes), distances: len(distanceSizes)}
	h.addRuns(literalSizes) // runs could go on from one to the other, but zlib's don't
	h.addRuns(distanceSizes)
	copy(h.sizes[:], codeSizes(h.classes[:], maxClassBits))
	h.listed = classSymbols
	for h.listed > 4 && h.sizes[classOrder[h.listed-1]] == 0 {
		h.listed--
	}
	return h
}

func (h *header) add(class, extra int) {
	h.classes[class]++
	h.runs = append(h.runs, run{class, uint(extra)})
}

// addRuns spells sizes as runs, each as long as can be.
func (h *header) addRuns(sizes []uint8) {
	before := -1
	for len(sizes) > 0 {
		size := int(sizes[0])
		// The most that one run takes: a size that is not yet the one before
		// is written itself and then repeated.
		most, least := 7, 4
		if size == 0 {
			most, least = 138, 3
		} else if size == before {
			most, least = 6, 3
		}
		n := 1
		for n < most && n < len(sizes) && int(sizes[n]) == size {
			n++
		}
		sizes = sizes[n:]
		switch {
		case n < least:
			for range n {
				h.add(size, 0)
			}
		case size == 0 && n <= 10:
			h.add(repeatZero, n-3)
		case size == 0:
			h.add(repeatZeroLong, n-11)
		case size == before:
			h.add(repeatLast, n-3)
		default:
			h.add(size, 0)
			h.add(repeatLast, n-1-3)
		}
		before = size
	}
}

// classExtra returns how many extra bits follow a class.
func classExtra(class int) int {
	switch class {
	case repeatLast:
		return 2
	case repeatZero:
		return 3
	case repeatZeroLong:
		return 7
	}
	return 0
}

// cost is how many bits the header takes.
func (h *header) cost() int {
	n := 5 + 5 + 4 + 3*h.listed
	for class, times := range h.classes {
		n += times * (int(h.sizes[class]) + classExtra(class))
	}
	return n
}

func (h *header) write(w *bitWriter) {
	w.put(uint(h.literals-endOfBlock-1), 5)
	w.put(uint(h.distances-1), 5)
	w.put(uint(h.listed-4), 4)
	for _, class := range classOrder[:h.listed] {
		w.put(uint(h.sizes[class]), 3)
	}
	var codes [classSymbols]code
	canonical(codes[:], h.sizes[:])
	for _, r := range h.runs {
		w.putCode(codes[r.class])
		w.put(r.extra, classExtra(r.class))
	}
}

// bitWriter packs bits into bytes, lowest first.
type bitWriter struct {
	out  []byte
	held uint64
	n    int // bits in held, below 8 between calls
}

// put writes the low n bits of v, at most 16; the rest of v is zero.
func (w *bitWriter) put(v uint, n int) {
	w.held |= uint64(v) << w.n
	w.n += n
	for w.n >= 8 {
		w.out = append(w.out, byte(w.held))
		w.held >>= 8
		w.n -= 8
	}
}

func (w *bitWriter) putCode(c code) { w.put(uint(c.bits), int(c.size)) }

// align fills the byte in progress with zeros.
func (w *bitWriter) align() { w.put(0, -w.n&7) }
