package main

import (
	"os"
	"runtime"
)

// heapFloor is how much garbage may come together, at the least, before the collector runs. Its work is the same whether it runs
// after 4 MB of requests, as it would with a small token cache, or after 64 MB; so this is 16 times less of it, which was an
// eighth of the processor time of a request, for at most 64 MB of memory.
const heapFloor = 64 << 20

// raiseHeapFloor gives the collector something to count that it does not have to look at: with GOGC at its 100, the heap may grow
// by as much as lives in it, this included. Its pages are never written to, so they take no memory. GOGC=400 instead would let
// a full token cache grow to five times its size, and a GOMEMLIMIT makes a process that has outgrown it collect without end.
//
// An operator who sets either of them has his own idea, and is not interfered with. release must be called at the end.
func raiseHeapFloor() (release func()) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return func() {}
	}
	floor := make([]byte, heapFloor)
	return func() { runtime.KeepAlive(floor) }
}
