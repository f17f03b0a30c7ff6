package revocation

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// This file keeps the last good list in Poller.Dir. There are two files in it:
//
//	revoked.pem      the signed list as it came; openssl cms -verify reads it, and so does FileSource
//	revoked.fetched  one line: the SHA-256 of the signed content in hex, a space, and when the fetch began (RFC 3339, UTC)
//
// The first is believed for its signature, which is checked again at the next start. The second keeps an old list from
// looking new after a restart. It is apart from the first because a list is seldom new but each poll makes it younger, and it
// names the list so that two files which do not belong together, as after a crash between the two writes or when one of them
// was restored, make a list of unknown age, which is not fresh. The time of modification would not do: a copy is new.

const (
	listFile    = "revoked.pem"
	fetchedFile = "revoked.fetched"
)

// keptList is what the round knows about the files.
type keptList struct {
	sum    [sha256.Size]byte // of the content of the list
	signer [sha256.Size]byte // its certificate's fingerprint
	at     time.Time         // in fetchedFile; zero if there is none that fits
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
	p.accept(st, now)
	p.log().Info("kept revocation list loaded", "entries", st.snapshot.Len(), "fetched", st.snapshot.fetchedAt, "age_known", known)
	if p.Metrics != nil {
		p.Metrics.ListLoaded(st.snapshot.Len(), st.snapshot.nameless)
	}
}

func (p *Poller) readKept(ctx context.Context) (*state, error) {
	d, err := openDir(p.Dir)
	if err != nil {
		return nil, err
	}
	defer d.root.Close()
	signed, err := d.read(listFile)
	if err != nil {
		return nil, err
	}
	st, err := p.read(ctx, signed)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", listFile, err)
	}
	st.fromDisk = true
	p.kept = keptList{sum: st.sum, signer: st.signer.Fingerprint()}
	note, err := d.read(fetchedFile)
	if err == nil {
		p.kept.at, err = parseFetched(note, st.sum)
	}
	if err != nil {
		p.log().Warn("kept revocation list is of unknown age", "error", err)
	}
	return st, nil
}

// keep writes the list, or just its new fetch time, to Dir. A failure costs no more than the next start without a list.
func (p *Poller) keep(signed []byte, st *state, fetched time.Time) {
	if p.Dir == "" {
		return
	}
	same := p.kept.sum == st.sum && p.kept.signer == st.signer.Fingerprint()
	if since := fetched.Sub(p.kept.at); same && 0 <= since && since < p.maxStale()/10 {
		return // what is lost by waiting is that a list looks older than it is
	}
	if err := p.write(signed, st, fetched, same); err != nil {
		p.kept = keptList{} // as far as we know: try again
		p.diskFailed("revocation list not kept on disk", err)
		return
	}
	p.kept = keptList{sum: st.sum, signer: st.signer.Fingerprint(), at: fetched.Round(0)}
	p.mu.Lock()
	p.seen.diskError = nil
	p.mu.Unlock()
}

func (p *Poller) write(signed []byte, st *state, fetched time.Time, same bool) error {
	d, err := openDir(p.Dir)
	if err != nil {
		return err
	}
	defer d.root.Close()
	if same {
		_, err := d.root.Lstat(listFile)
		same = err == nil // else somebody removed it
	}
	if !same {
		if err := d.write(listFile, signed); err != nil {
			return err
		}
	}
	return d.write(fetchedFile, formatFetched(fetched, st.sum))
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

func formatFetched(at time.Time, sum [sha256.Size]byte) []byte {
	return fmt.Appendf(nil, "%x %s\n", sum, at.UTC().Format(time.RFC3339Nano))
}

func parseFetched(note []byte, sum [sha256.Size]byte) (time.Time, error) {
	digest, at, _ := bytes.Cut(bytes.TrimSuffix(note, []byte("\n")), []byte(" "))
	if string(digest) != hex.EncodeToString(sum[:]) {
		return time.Time{}, fmt.Errorf("%s belongs to another list", fetchedFile)
	}
	t, err := time.Parse(time.RFC3339Nano, string(at))
	if err != nil {
		return time.Time{}, fmt.Errorf("%s: %w", fetchedFile, err)
	}
	return t, nil
}

// directory is Poller.Dir while it is open. The list in it is signed, but who can write there can put back an older one
// (and CVE-2013-2030 shows worse), so all must belong to this process's user, and symbolic links are refused.
type directory struct{ root *os.Root }

// openDir opens the directory and makes it, with mode 0700, where there is none.
func openDir(path string) (directory, error) {
	if err := os.MkdirAll(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return directory{}, err
	}
	info, err := os.Lstat(path)
	if err != nil {
		return directory{}, err
	}
	if !info.IsDir() {
		return directory{}, fmt.Errorf("%s is a symbolic link or no directory: name the directory itself", path)
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return directory{}, err
	}
	opened, err := root.Stat(".")
	switch {
	case err != nil:
	case !os.SameFile(info, opened):
		err = fmt.Errorf("%s changed while it was opened", path)
	default:
		err = checkOwn(path, opened)
	}
	if err != nil {
		root.Close()
		return directory{}, err
	}
	return directory{root}, nil
}

// checkOwn wants a file or directory to be this user's and nobody else's to write.
func checkOwn(name string, info fs.FileInfo) error {
	if st, ok := info.Sys().(*syscall.Stat_t); !ok || int64(st.Uid) != int64(os.Geteuid()) {
		return fmt.Errorf("%s belongs to another user: chown it to user id %d", name, os.Geteuid())
	}
	if mode := info.Mode().Perm(); mode&0o022 != 0 {
		return fmt.Errorf("%s has mode %#o, others can write to it: chmod go-w it", name, mode)
	}
	return nil
}

func (d directory) read(name string) ([]byte, error) {
	info, err := d.root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file: remove it", name)
	}
	if err := checkOwn(name, info); err != nil {
		return nil, err
	}
	f, err := d.root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if opened, err := f.Stat(); err != nil || !os.SameFile(info, opened) {
		return nil, fmt.Errorf("%s changed while it was opened", name)
	}
	text, err := readBounded(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return text, nil
}

// write replaces a file: even after a crash there is the old one or the new one, whole.
func (d directory) write(name string, text []byte) error {
	if info, err := d.root.Lstat(name); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no regular file: remove it", name)
	}
	temporary := "." + name + "." + rand.Text()
	f, err := d.root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		_, err = f.Write(text)
		err = errors.Join(err, f.Sync(), f.Close())
	}
	if err == nil {
		err = d.root.Rename(temporary, name)
	}
	if err != nil {
		d.root.Remove(temporary) // the first error is the one to tell
		var cause syscall.Errno
		if errors.As(err, &cause) {
			err = cause // the rest names the temporary file, each time another
		}
		return fmt.Errorf("writing %s: %w", name, err)
	}
	self, err := d.root.Open(".")
	if err != nil {
		return err
	}
	defer self.Close()
	return self.Sync()
}
