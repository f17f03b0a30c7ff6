package zlib6

import "math/bits"

const (
	maxSymbols   = 286 // literals, end of block, lengths
	maxBits      = 15  // longest code of a literal, length or distance
	maxClassBits = 7   // longest code of a code length
)

// code is one Huffman code: its bits in the order in which they are sent (first
// bit lowest), and how many they are. size 0 means that the symbol has none.
type code struct {
	bits uint16
	size uint8
}

// forest is a Huffman tree in the making. Nodes below len(frequencies) are
// symbols; the rest are made by joining.
type forest struct {
	weight, parent [2 * maxSymbols]int
	height         [2 * maxSymbols]int // over the lowest leaf
	heap           []int               // roots, lightest first
}

// before orders roots: by weight, then the flatter one. A tie counts as true,
// which with the shape of the heap decides between equals.
func (f *forest) before(a, b int) bool {
	if f.weight[a] != f.weight[b] {
		return f.weight[a] < f.weight[b]
	}
	return f.height[a] <= f.height[b]
}

// sink moves the root at index i down the heap to its place.
func (f *forest) sink(i int) {
	v := f.heap[i]
	for {
		child := 2*i + 1
		if child >= len(f.heap) {
			break
		}
		if child+1 < len(f.heap) && f.before(f.heap[child+1], f.heap[child]) {
			child++
		}
		if f.before(v, f.heap[child]) {
			break
		}
		f.heap[i] = f.heap[child]
		i = child
	}
	f.heap[i] = v
}

// codeSizes returns the sizes in bits of the Huffman codes for frequencies, none
// over limit, up to the last symbol that has a code. At least two symbols get
// one, as zlib wants it for old decoders: symbols that do not occur fill up.
func codeSizes(frequencies []int, limit int) []uint8 {
	var (
		f     forest
		roots [maxSymbols]int
		last  = -1
	)
	f.heap = roots[:0]
	for s, n := range frequencies {
		if n > 0 {
			f.weight[s] = n
			f.heap = append(f.heap, s)
			last = s
		}
	}
	for len(f.heap) < 2 {
		s := 0
		if last < 2 {
			last++
			s = last
		}
		f.weight[s] = 1
		f.heap = append(f.heap, s)
	}
	for i := len(f.heap)/2 - 1; i >= 0; i-- {
		f.sink(i)
	}

	var joined [2 * maxSymbols]int // in order, lightest first; the root of all is left out
	order := joined[:0]
	next := len(frequencies)
	for ; len(f.heap) > 1; next++ {
		a := f.heap[0]
		f.heap[0] = f.heap[len(f.heap)-1]
		f.heap = f.heap[:len(f.heap)-1]
		f.sink(0)
		b := f.heap[0]
		f.weight[next] = f.weight[a] + f.weight[b]
		f.height[next] = max(f.height[a], f.height[b]) + 1
		f.parent[a], f.parent[b] = next, next
		order = append(order, a, b)
		f.heap[0] = next
		f.sink(0)
	}

	var (
		depth  [2 * maxSymbols]int
		counts [maxBits + 1]int // symbols by size
		excess int              // nodes that hung too low
	)
	for i := len(order) - 1; i >= 0; i-- {
		n := order[i]
		depth[n] = depth[f.parent[n]] + 1
		if depth[n] > limit {
			depth[n] = limit
			excess++
		}
		if n < len(frequencies) {
			counts[depth[n]]++
		}
	}
	sizes := make([]uint8, last+1)
	if excess == 0 {
		for s := range sizes {
			sizes[s] = uint8(depth[s])
		}
		return sizes
	}
	// Each round hangs the lowest leaf that has room below it one deeper, and
	// with it one of the leaves from beyond the limit.
	for ; excess > 0; excess -= 2 {
		size := limit - 1
		for counts[size] == 0 {
			size--
		}
		counts[size]--
		counts[size+1] += 2
		counts[limit]--
	}
	// Hand the sizes out again: the lightest get the longest.
	size := limit
	for _, n := range order {
		if n >= len(frequencies) {
			continue
		}
		for counts[size] == 0 {
			size--
		}
		sizes[n] = uint8(size)
		counts[size]--
	}
	return sizes
}

// canonical gives codes of those sizes to the symbols (RFC 1951 section 3.2.2).
func canonical(codes []code, sizes []uint8) {
	var next [maxBits + 2]uint16
	for _, n := range sizes {
		if n > 0 {
			next[n+1]++
		}
	}
	for n := 2; n < len(next); n++ {
		next[n] = (next[n] + next[n-1]) << 1
	}
	for s, n := range sizes {
		if n > 0 {
			codes[s] = code{bits.Reverse16(next[n]) >> (16 - n), n}
			next[n]++
		}
	}
}
