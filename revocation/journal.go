package revocation

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"authproxy/certs/privatedir"
)

// This file keeps signed deltas behind the list, so that a revocation costs the disk what it adds and not the whole list.
// revoked.deltas is one record after the other: a line like that of revoked.fetched, about the list with this delta and all
// before it, and the delta as it came, a CMS message in PEM.
//
// At the start each is verified and applied like one that is just coming, and its sum has to be the one that its line names.
// The first that does not fit ends the journal: what a crash leaves of the last record, or a journal that was not removed when
// a newer list was written. The next write goes in its place. Records are synced before they count as kept. An empty delta
// that is the last one gives way to what comes next, so that "nothing new" does not fill the disk.
//
// When the journal has grown larger than the list, the whole list is fetched again, which ends it: signing is not for us to do.

const (
	journalFile = "revoked.deltas"
	// compactLeast is the size in bytes up to which a journal may be larger than its list.
	compactLeast = 1 << 20
	// maxPending bounds what is kept in memory for a disk that is full, in bytes.
	maxPending = 1 << 20
)

// journal is what the round knows about the file.
type journal struct {
	end     int64  // of the last good record
	empty   int64  // where the last record begins, if it is an empty delta; else end
	pending []byte // records that could not be written
}

// keepDelta appends a delta to what it continues.
func (p *Poller) keepDelta(u *update, fetched time.Time) error {
	k := &p.kept
	record := append(noteOf(u.next, fetched), bytes.TrimSuffix(u.signed, []byte("\n"))...)
	record = append(record, '\n') // some sources leave the last one out
	if len(k.pending) > 0 && u.kind == emptyDelta {
		record = nil // not worth the room
	}
	k.pending, k.sum = append(k.pending, record...), u.next.sum
	d, err := privatedir.Open(p.Dir)
	if err == nil {
		defer d.Close()
		err = p.writePending(d)
	}
	if err != nil {
		if u.kind == emptyDelta && len(k.pending) == len(record) {
			k.pending = nil
		}
		if len(k.pending) > maxPending {
			k.lost, k.pending = true, nil
		}
		return err
	}
	k.at = fetched.Round(0)
	if u.kind == emptyDelta {
		k.empty = k.end - int64(len(record))
	}
	return nil
}

// writePending appends what is pending to the journal, or leaves it as it was.
func (p *Poller) writePending(d privatedir.Dir) error {
	k := &p.kept
	if len(k.pending) == 0 {
		return nil
	}
	if err := d.Append(journalFile, k.empty, k.pending); err != nil {
		if errors.Is(err, privatedir.ErrNotOurs) {
			k.lost, k.pending = true, nil
		}
		return err
	}
	k.end = k.empty + int64(len(k.pending))
	k.empty, k.pending = k.end, nil
	return nil
}

// readJournal applies the deltas that are kept behind st. last is when the last of them was fetched.
func (p *Poller) readJournal(ctx context.Context, d privatedir.Dir, st *state) (_ *state, last time.Time, err error) {
	f, err := d.Open(journalFile)
	if errors.Is(err, fs.ErrNotExist) {
		return st, last, nil
	}
	if err != nil {
		p.kept.lost = true // it cannot be written either
		return st, last, err
	}
	defer f.Close()
	records := &recordReader{r: bufio.NewReaderSize(f, 64<<10)}
	for n := 1; ; n++ {
		noted, signed, err := records.next()
		if err == io.EOF {
			return st, last, nil
		}
		if errors.Is(err, errTorn) {
			p.log().Warn("the last kept change of the revocation list was not written to its end, and is left out", "records", n-1)
			return st, last, nil
		}
		var u *update
		if err == nil {
			u, err = p.readRecord(ctx, noted, signed, st)
		}
		switch {
		case err == nil:
		case n == 1 && (errors.Is(err, errGap) || errors.Is(err, errOther)):
			p.log().Info("kept changes belong to an older revocation list and are left out")
			return st, last, nil
		default:
			return st, last, fmt.Errorf("%s: record %d: %w", journalFile, n, err)
		}
		st, last = u.next, noted.at
		if p.kept.empty = p.kept.end; u.kind == aDelta {
			p.kept.empty = records.read
		}
		p.kept.sum, p.kept.end = st.sum, records.read
	}
}

var (
	errTorn  = errors.New("the file ends within a record")
	errOther = errors.New("it belongs to another list")
)

func (p *Poller) readRecord(ctx context.Context, noted note, signed []byte, st *state) (*update, error) {
	m, err := p.open(ctx, signed)
	if err != nil {
		return nil, err
	}
	d, err := parseDocument(m.content)
	if err != nil {
		return nil, err
	}
	if !d.delta {
		return nil, ErrNotADelta
	}
	u, err := st.apply(d, m)
	if err != nil {
		return nil, err
	}
	if u.next.sum != noted.sum {
		return nil, errOther
	}
	u.next.fromDisk = true
	u.next.snapshot = st.snapshot.with(u.added, p.keepFrom(p.now(), u.next.issued), 0)
	return u, nil
}

// recordReader reads the journal.
type recordReader struct {
	r    *bufio.Reader
	read int64 // bytes of whole records
}

const cmsEnd = "-----END CMS-----\n"

// next reads a record: io.EOF if there is none, errTorn if it is not whole.
func (r *recordReader) next() (note, []byte, error) {
	line, err := r.r.ReadSlice('\n')
	size := len(line)
	switch {
	case err == io.EOF && size == 0:
		return note{}, nil, io.EOF
	case err == io.EOF:
		return note{}, nil, errTorn
	case err != nil:
		return note{}, nil, err
	}
	noted, err := parseNote(line)
	if err != nil {
		return note{}, nil, err
	}
	var signed bytes.Buffer
	for {
		line, err := r.r.ReadSlice('\n')
		if err == io.EOF {
			return note{}, nil, errTorn
		}
		if err != nil {
			return note{}, nil, err
		}
		signed.Write(line)
		if string(line) == cmsEnd {
			break
		}
		if signed.Len() > maxSigned {
			return note{}, nil, errors.New("a record that is too large")
		}
	}
	r.read += int64(size + signed.Len())
	return noted, signed.Bytes(), nil
}
