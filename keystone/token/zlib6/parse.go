package zlib6

const (
	windowSize = 1 << 15
	minMatch   = 3
	maxMatch   = 258

	// refillBelow is how many bytes ahead zlib wants to see before it looks
	// for a match; it shortens the reach of matches by as much, so that the
	// window's oldest bytes may be given up at any time.
	refillBelow = maxMatch + minMatch + 1
	maxDistance = windowSize - refillBelow

	// Level 6.
	goodLength = 8    // a held match this long quarters the search
	lazyLength = 16   // a held match this long ends the search
	niceLength = 128  // a found match this long ends the search
	maxChain   = 128  // candidates looked at
	tooFar     = 4096 // three bytes from farther away cost more than literals
)

// parser turns the input into literals and matches (RFC 1951 section 4, with
// lazy matching). Positions count from the start of the input. Zero in head and
// prev ends a chain, so the first byte of the input never starts a match; zlib
// has the same blind spot.
type parser struct {
	data []byte
	head []int32 // by hash of three bytes: the latest position that has it
	prev []int32 // by position modulo windowSize: the one before with that hash

	// zlib holds 2*windowSize bytes, from base to filled, and moves them down
	// by windowSize as they run out. Chains hold nothing at or before base.
	base, filled int
}

func newParser(data []byte) *parser {
	return &parser{
		data:   data,
		head:   make([]int32, 1<<15),
		prev:   make([]int32, min(len(data), windowSize)),
		filled: min(len(data), 2*windowSize),
	}
}

// refill moves the window when fewer than refillBelow bytes lie ahead of pos.
func (p *parser) refill(pos int) {
	if p.filled-pos >= refillBelow {
		return
	}
	if pos-p.base >= windowSize+maxDistance {
		p.base += windowSize
	}
	p.filled = min(len(p.data), p.base+2*windowSize)
}

// insert puts pos on the chain of its three bytes and returns the position that
// led the chain. The hash drops high bits; what collides counts as a candidate,
// so another hash would find other matches.
func (p *parser) insert(pos int) int {
	d := p.data[pos : pos+minMatch]
	h := (uint32(d[0])<<10 ^ uint32(d[1])<<5 ^ uint32(d[2])) & (1<<15 - 1)
	before := p.head[h]
	p.prev[pos%windowSize] = before
	p.head[h] = int32(pos)
	return int(before)
}

// run gives the whole input to e and ends the last block.
//
// A match is held back for one byte: when the next position has a longer one,
// the held one becomes a literal.
func (p *parser) run(e *encoder) {
	var (
		pos     int
		waiting bool // the byte before pos is not yet given to e
		held    int  // length of the match at pos-1, below minMatch for none
		heldAt  int  // where it was found
	)
	for p.refill(pos); pos < len(p.data); p.refill(pos) {
		length, at := minMatch-1, 0
		if len(p.data)-pos >= minMatch {
			from := p.insert(pos)
			if from > p.base && pos-from <= maxDistance && held < lazyLength {
				length, at = p.longest(pos, from, max(held, minMatch-1))
			}
		}
		if length == minMatch && pos-at > tooFar {
			length = minMatch - 1
		}
		switch {
		case held >= minMatch && length <= held:
			full := e.match(held, pos-1-heldAt)
			end := pos - 1 + held
			for pos++; pos < end; pos++ {
				if pos+minMatch <= len(p.data) {
					p.insert(pos)
				}
			}
			waiting, held = false, 0
			if full {
				e.endBlock(pos, false)
			}
			continue
		case waiting:
			if e.literal(p.data[pos-1]) {
				e.endBlock(pos, false)
			}
		}
		waiting, held, heldAt = true, length, at
		pos++
	}
	if waiting {
		e.literal(p.data[pos-1]) // even if that fills the block, it is the last
	}
	e.endBlock(pos, true)
}

// longest walks the chain from candidate from and returns the first of the
// longest matches with more than atLeast bytes at pos, or atLeast and 0.
func (p *parser) longest(pos, from, atLeast int) (length, at int) {
	length = atLeast
	ahead := p.data[pos:]
	ahead = ahead[:min(len(ahead), maxMatch)]
	enough := min(niceLength, len(ahead))
	oldest := max(0, pos-maxDistance)
	tries := maxChain
	if atLeast >= goodLength {
		tries /= 4
	}
	for length < len(ahead) {
		there := p.data[from : from+len(ahead)]
		if there[length] == ahead[length] && there[length-1] == ahead[length-1] {
			if n := common(there, ahead); n > length {
				length, at = n, from
				if n >= enough {
					break
				}
			}
		}
		from = int(p.prev[from%windowSize])
		if tries--; tries == 0 || from <= oldest {
			break
		}
	}
	return length, at
}

// common returns how many bytes a and b, of one length, have in common at their
// beginning.
func common(a, b []byte) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}
