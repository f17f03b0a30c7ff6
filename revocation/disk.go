package revocation

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"authproxy/certs/privatedir"
)

// This file keeps the last good list in Poller.Dir. There are three files in it:
//
//	revoked.pem      the signed list as it came; openssl cms -verify reads it, and so does FileSource
//	revoked.deltas   the signed deltas that came since, see journal.go
//	revoked.fetched  one line: the sum of the list and its deltas in hex (see state.sum), when the last fetch began (RFC 3339,
//	                 UTC), and the sequence number, between spaces
//
// The first two are believed for their signatures, which are checked again at the next start. The third keeps an old list from
// looking new after a restart. It is apart from the others because a list is seldom new but each poll makes it younger, and it
// names the list so that files which do not belong together, as after a crash between two writes or when one of them
// was restored, make a list of unknown age, which is not fresh. The time of modification would not do: a copy is new. The
// sequence number keeps older lists out where the list itself is of no use any more, since its signer has left.

const (
	listFile    = "revoked.pem"
	fetchedFile = "revoked.fetched"
	maxNote     = 1 << 12 // bytes of it
)

// keptList is what the round knows about the files.
type keptList struct {
	sum    [sha256.Size]byte // of the list and the deltas on disk and in pending
	signer [sha256.Size]byte // fingerprint of the certificate that signed the list
	at     time.Time         // in fetchedFile; zero if there is none that fits
	size   int64             // of the list's file
	journal
	lost  bool      // the files are not what is in force, and only a whole list can mend that
	asked time.Time // when a whole list was last asked for because of the disk
}

// wantsList says that it would be good for the files to have the list as a whole again.
func (k *keptList) wantsList() bool {
	return k.lost || k.end > max(k.size, compactLeast)
}

// holds says that the files have this list.
func (k *keptList) holds(st *state) bool {
	return !k.lost && k.sum == st.sum && (len(st.signers) > 1 || k.signer == st.signers[0].Fingerprint())
}

// loadKept puts the kept list in force if it is good. Whatever is wrong with it is logged: the source is asked next anyway.
func (p *Poller) loadKept(ctx context.Context) {
	st, err := p.readKept(ctx)
	switch {
	case ctx.Err() != nil || errors.Is(err, fs.ErrNotExist):
		return
	case err != nil:
		p.diskFailed("kept revocation list not used", err)
		return
	}
	now := p.now()
	age := now.Round(0).Sub(p.kept.at)
	// A time in the future, as on a machine that starts with its clock at 1970, says nothing about the list's age.
	known := !p.kept.at.IsZero() && age >= 0
	st.begin(now, max(age, 0), known)
	p.swap.Lock()
	p.current.Store(st)
	p.swap.Unlock()
	p.log().Info("kept revocation list loaded", "entries", st.snapshot.Len(), "fetched", st.snapshot.fetchedAt, "age_known", known)
	if p.Metrics != nil {
		p.Metrics.ListLoaded(st.snapshot.Len(), st.snapshot.nameless)
	}
}

func (p *Poller) readKept(ctx context.Context) (*state, error) {
	d, err := privatedir.Open(p.Dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	signed, err := d.Read(listFile, maxSigned)
	if err != nil {
		return nil, err
	}
	var noted note
	text, noteErr := d.Read(fetchedFile, maxNote)
	if noteErr == nil {
		noted, noteErr = parseNote(text)
	}
	st, err := p.readKeptList(ctx, signed)
	if err != nil {
		p.floor = noted.sequence
		return nil, fmt.Errorf("%s: %w", listFile, err)
	}
	p.kept = keptList{sum: st.sum, signer: st.signers[0].Fingerprint(), size: int64(len(signed))}
	st, last, err := p.readJournal(ctx, d, st)
	if err != nil {
		p.diskFailed("kept changes of the revocation list not used, or not all of them", err)
	}
	p.kept.at = last
	if noteErr == nil && noted.sum != st.sum {
		noteErr = fmt.Errorf("%s belongs to another list", fetchedFile)
	}
	if noteErr == nil && noted.at.After(last) {
		p.kept.at = noted.at
	}
	if p.kept.at.IsZero() {
		p.log().Warn("kept revocation list is of unknown age", "error", noteErr)
	}
	return st, nil
}

func (p *Poller) readKeptList(ctx context.Context, signed []byte) (*state, error) {
	m, err := p.open(ctx, signed)
	if err != nil {
		return nil, err
	}
	d, err := parseDocument(m.content)
	if err != nil {
		return nil, err
	}
	if d.delta {
		return nil, errDelta
	}
	u, err := p.replace(nil, d, m, p.now())
	if err != nil {
		return nil, err
	}
	u.next.fromDisk = true
	return u.next, nil
}

// keep writes what has come, or just its new fetch time, to Dir. A failure costs no more than the next start without a list.
func (p *Poller) keep(u *update, fetched time.Time) {
	if p.Dir == "" {
		return
	}
	var err error
	switch st := u.next; {
	case u.kind == aDelta || u.kind == emptyDelta:
		if p.kept.lost || p.kept.sum != u.before {
			p.kept.lost, p.kept.pending = true, nil // what came before it is missing on disk
			return
		}
		err = p.keepDelta(u, fetched)
	case p.kept.holds(st):
		if since := fetched.Sub(p.kept.at); 0 <= since && since < p.maxStale()/10 {
			return // what is lost by waiting is that a list looks older than it is
		}
		err = p.keepTime(u, fetched)
	case u.signed != nil:
		err = p.keepList(u, fetched)
	default:
		return // not modified, and not on disk: wait for a whole list
	}
	if err != nil {
		p.diskFailed("revocation list not kept on disk", err)
		return
	}
	p.mu.Lock()
	p.seen.diskError = nil
	p.mu.Unlock()
}

// keepList writes a whole list, which makes the journal void.
func (p *Poller) keepList(u *update, fetched time.Time) error {
	p.kept = keptList{lost: true, asked: p.kept.asked} // until all went well: try again
	d, err := privatedir.Open(p.Dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Write(listFile, u.signed); err != nil {
		return err
	}
	if err := d.Write(fetchedFile, noteOf(u.next, fetched)); err != nil {
		return err
	}
	if err := d.Remove(journalFile); err != nil {
		return err
	}
	p.kept = keptList{sum: u.next.sum, signer: u.next.signers[0].Fingerprint(), at: fetched.Round(0), size: int64(len(u.signed)), asked: p.kept.asked}
	return nil
}

// keepTime notes that the list on disk was in force at a later time.
func (p *Poller) keepTime(u *update, fetched time.Time) error {
	d, err := privatedir.Open(p.Dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if !d.Has(listFile) { // somebody removed it
		p.kept.lost = true
		if u.signed == nil {
			return fmt.Errorf("%s: %w", listFile, fs.ErrNotExist)
		}
		return p.keepList(u, fetched)
	}
	if err := p.writePending(d); err != nil {
		return err
	}
	if err := d.Write(fetchedFile, noteOf(u.next, fetched)); err != nil {
		p.kept.at = time.Time{}
		return err
	}
	p.kept.at = fetched.Round(0)
	return nil
}

func (p *Poller) diskFailed(message string, err error) {
	p.mu.Lock()
	again := p.seen.diskError != nil && p.seen.diskError.Error() == err.Error()
	p.seen.diskError = err
	p.mu.Unlock()
	if !again {
		p.log().Warn(message, "dir", p.Dir, "error", err)
	}
}

// note is what fetchedFile says.
type note struct {
	sum      [sha256.Size]byte
	at       time.Time
	sequence uint64
}

func noteOf(st *state, fetched time.Time) []byte {
	return note{st.sum, fetched, st.sequence}.text()
}

func (n note) text() []byte {
	return fmt.Appendf(nil, "%x %s %d\n", n.sum, n.at.UTC().Format(time.RFC3339Nano), n.sequence)
}

// parseNote reads a note. An older one has no sequence number.
func parseNote(text []byte) (note, error) {
	var n note
	fields := strings.Split(strings.TrimSuffix(string(text), "\n"), " ")
	if len(fields) != 2 && len(fields) != 3 || len(fields[0]) != 2*sha256.Size {
		return note{}, fmt.Errorf("%s: expected a sum, a time and a number", fetchedFile)
	}
	if _, err := hex.Decode(n.sum[:], []byte(fields[0])); err != nil {
		return note{}, fmt.Errorf("%s: %w", fetchedFile, err)
	}
	var err error
	if n.at, err = time.Parse(time.RFC3339Nano, fields[1]); err != nil {
		return note{}, fmt.Errorf("%s: %w", fetchedFile, err)
	}
	if len(fields) == 3 {
		if n.sequence, err = strconv.ParseUint(fields[2], 10, 63); err != nil {
			return note{}, fmt.Errorf("%s: %w", fetchedFile, err)
		}
	}
	return n, nil
}
