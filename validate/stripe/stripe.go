// Package stripe counts without processors waiting for one another: what many goroutines change at once lies in stripes, each in
// cache lines of its own, and a goroutine keeps to one of them.
package stripe

import (
	"sync/atomic"
	"unsafe"
)

// Count is how many stripes there are: several for each processor of the machines that this runs on, so that two goroutines seldom
// share one.
const Count = 16

// Here is a stripe from 0 to Count-1, mostly the same for one goroutine: it follows from where its stack lies. It is a hint, no more;
// two goroutines may have the same, and a stack that grows may move.
func Here() int {
	var here byte
	at := uintptr(unsafe.Pointer(&here))
	return int((at>>11^at>>17)*0x9E3779B1>>16) & (Count - 1)
}

// Line is the distance in bytes at which processors do not share what they change: two cache lines, since they are fetched in pairs.
const Line = 128

// Counter is a sum. The zero Counter is 0. It is safe for concurrent use.
type Counter struct {
	_     [Line]byte // between the first cell and what stands before the Counter
	cells [Count]struct {
		n atomic.Int64
		_ [Line - 8]byte
	}
}

// Add adds n, which may be below zero.
func (c *Counter) Add(n int64) { c.cells[Here()].n.Add(n) }

// Load is the sum. Of what is added meanwhile some may be in it.
func (c *Counter) Load() (sum int64) {
	for i := range c.cells {
		sum += c.cells[i].n.Load()
	}
	return sum
}
