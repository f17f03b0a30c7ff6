package token

import (
	"hash/maphash"
	"strings"
	"sync/atomic"

	"authproxy/keystone"
)

const (
	// catalogSlots is how many catalogs are kept; maxKept is how long the payload may be of which one is kept, in bytes. With what
	// is made of it that is some 20 MB at the very most, and a tenth of it with payloads of the usual size.
	catalogSlots = 256
	maxKept      = 32 << 10
)

// Catalogs keeps the v3 catalogs that were read last, so that one which comes again is not read again: all tokens of a project
// carry the same text, and it is two thirds of them. What it saves in memory is more, since such tokens share what was read. The
// zero Catalogs is empty; it is safe for concurrent use, and nil keeps nothing.
type Catalogs struct {
	slots [catalogSlots]atomic.Pointer[keptCatalog]
}

// keptCatalog is the text of a catalog, from bracket to bracket, and what it says. It is read-only.
type keptCatalog struct {
	text    string
	catalog keystone.Catalog
}

var catalogSeed = maphash.MakeSeed()

// slot is where the catalog of a project is kept; nil where none is.
func (c *Catalogs) slot(project *keystone.Project) *atomic.Pointer[keptCatalog] {
	if c == nil || project == nil {
		return nil
	}
	return &c.slots[maphash.String(catalogSeed, project.ID)%catalogSlots]
}

// keptOrRead takes a catalog. Which one it is depends on its text alone: every byte of it is compared. (A JSON array ends where it
// ends, so a text that begins with an array's has that array in front.)
func (d *decoder) keptOrRead() keystone.Catalog {
	slot := d.catalogs.slot(d.t.Project)
	if slot == nil {
		return d.readCatalog()
	}
	d.peek()
	if kept := slot.Load(); kept != nil && d.take(kept.text) {
		return kept.catalog
	}
	at := d.r.Offset()
	catalog := d.readCatalog()
	if text := d.r.Since(at); d.err == nil && d.r.Offset()+len(d.r.Rest()) <= maxKept {
		slot.Store(&keptCatalog{text, catalog})
	}
	return catalog
}

// take takes a text that is a whole value, if it comes next.
func (d *decoder) take(value string) bool {
	if d.err != nil || !strings.HasPrefix(d.r.Rest(), value) {
		return false
	}
	d.r.Take(len(value))
	return true
}
