package certs

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// rig is a signing certificate in a directory of its own, and a clock.
type rig struct {
	t   *testing.T
	dir string
	now time.Time
	r   *Rotation
}

const tokenLife = time.Hour

func newRig(t *testing.T) *rig {
	t.Helper()
	g := &rig{t: t, dir: t.TempDir(), now: time.Now()}
	g.aim()
	if err := Setup(SetupOptions{CertFile: g.r.CertFile, KeyFile: g.r.KeyFile, CACerts: g.r.CACerts, CAKey: g.r.CAKey, KeyType: KeyECDSA, ValidDays: 30}); err != nil {
		t.Fatal(err)
	}
	return g
}

func (g *rig) aim() {
	in := func(name string) string { return filepath.Join(g.dir, name) }
	g.r = &Rotation{
		CertFile: in("certs/signing_cert.pem"), KeyFile: in("private/signing_key.pem"), CACerts: in("certs/ca.pem"), CAKey: in("private/cakey.pem"),
		TokenLife: tokenLife, Now: func() time.Time { return g.now },
	}
}

// copyRig copies the files of g, to try something with them.
func (g *rig) copyRig(t *testing.T) *rig {
	t.Helper()
	other := &rig{t: t, dir: t.TempDir(), now: g.now}
	if err := os.CopyFS(other.dir, os.DirFS(g.dir)); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(g.dir, func(path string, d fs.DirEntry, err error) error { // CopyFS widens modes
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(g.dir, path)
		return errors.Join(os.Chmod(filepath.Join(other.dir, rel), info.Mode()), os.Chtimes(filepath.Join(other.dir, rel), info.ModTime(), info.ModTime()))
	})
	if err != nil {
		t.Fatal(err)
	}
	other.aim()
	return other
}

// pair is what a server finds at this instant.
func (g *rig) pair() *SigningPair {
	g.t.Helper()
	p, err := LoadSigner(g.r.CertFile, g.r.KeyFile)
	if err != nil {
		g.t.Fatalf("a server finds no pair: %v", err)
	}
	ca, _, err := ReadCertificates(g.r.CACerts)
	if err != nil {
		g.t.Fatal(err)
	}
	if err := p.Check(ca, g.now); err != nil {
		g.t.Fatalf("a server finds a pair that is worth nothing: %v", err)
	}
	return p
}

func (g *rig) files() []string {
	g.t.Helper()
	var names []string
	for _, dir := range []string{"certs", "private"} {
		entries, err := os.ReadDir(filepath.Join(g.dir, dir))
		if err != nil {
			g.t.Fatal(err)
		}
		for _, e := range entries {
			names = append(names, e.Name())
		}
	}
	return names
}

// step is one stage of a rotation, as an operator starts it.
type step func(*Rotation) (*RotationStatus, error)

var (
	prepare  step = func(r *Rotation) (*RotationStatus, error) { return r.Prepare(PrepareOptions{}) }
	publish  step = func(r *Rotation) (*RotationStatus, error) { return r.Publish("") }
	switchTo step = func(r *Rotation) (*RotationStatus, error) { return r.Switch(0) }
	finish   step = func(r *Rotation) (*RotationStatus, error) { return r.Finish(false) }
	drop     step = func(r *Rotation) (*RotationStatus, error) { return r.Finish(true) }
	rollback step = func(r *Rotation) (*RotationStatus, error) { return r.Rollback(false) }
	backNow  step = func(r *Rotation) (*RotationStatus, error) { return r.Rollback(true) }
)

func (g *rig) run(want Stage, steps ...step) *RotationStatus {
	g.t.Helper()
	var st *RotationStatus
	for i, s := range steps {
		var err error
		if st, err = s(g.r); err != nil {
			g.t.Fatalf("step %d: %v", i, err)
		}
	}
	if st.Stage != want {
		g.t.Fatalf("stage %s, want %s", st.Stage, want)
	}
	return st
}

func (g *rig) refuses(s step, want string) {
	g.t.Helper()
	if _, err := s(g.r); err == nil || !strings.Contains(err.Error(), want) {
		g.t.Errorf("%v, want %q", err, want)
	}
}

var idleFiles = []string{"ca.pem", "signing_cert.pem", "cakey.pem", "signing_key.pem"}

// TestRotation goes the whole way, with each step twice and each step that is not the next one refused.
func TestRotation(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	old := g.pair().Leaf
	if err := os.Chmod(g.r.KeyFile, 0o640); err != nil { // as OpenStack's pki_setup leaves it, for the server's group
		t.Fatal(err)
	}
	g.run(StageIdle, finish, rollback)
	g.refuses(publish, "nothing is prepared")
	g.refuses(switchTo, "not published yet")

	next := g.run(StagePrepared, prepare, prepare).Next
	if next.Equal(old) || next.NotAfter.After(old.NotAfter) || !slices.ContainsFunc(g.files(), func(n string) bool { return n == "signing_key.pem.next" }) {
		t.Errorf("prepared %s in %v", name(next), g.files())
	}
	if info, err := os.Stat(g.r.nextKey()); err != nil || info.Mode() != 0o640 {
		t.Errorf("mode of the new key: %v, %v", info.Mode(), err)
	}
	g.refuses(switchTo, "not published yet")
	g.refuses(drop, "does not sign yet")
	if p := g.pair(); !p.Leaf.Equal(old) || len(p.Certificates) != 1 {
		t.Error("prepare changed what is served")
	}

	g.run(StagePublished, publish, publish, prepare)
	if p := g.pair(); !p.Leaf.Equal(old) || len(p.Certificates) != 2 || !p.Certificates[1].Equal(next) {
		t.Errorf("published: %d certificates, %s signs", len(p.Certificates), name(p.Leaf))
	}
	g.refuses(func(r *Rotation) (*RotationStatus, error) { return r.Switch(time.Hour) }, "so that every verifier can have it")
	g.refuses(drop, "does not sign yet")

	st := g.run(StageSwitched, switchTo, switchTo, publish)
	if p := g.pair(); !p.Leaf.Equal(next) || len(p.Certificates) != 2 || !p.Certificates[0].Equal(next) || !p.Certificates[1].Equal(old) {
		t.Errorf("switched: %d certificates, %s signs", len(p.Certificates), name(p.Leaf))
	}
	if info, err := os.Stat(g.r.KeyFile); err != nil || info.Mode() != 0o640 {
		t.Errorf("mode of the key: %v, %v", info.Mode(), err)
	}
	if until := st.TokensUntil.Sub(g.now); until < tokenLife || until > tokenLife+2*time.Second {
		t.Errorf("tokens by the old key are said to live for %v", until)
	}
	g.refuses(prepare, "not finished")
	g.refuses(finish, "may be in use until")
	g.now = st.TokensUntil
	g.run(StageIdle, finish, finish)
	if p := g.pair(); !p.Leaf.Equal(next) || len(p.Certificates) != 1 {
		t.Errorf("finished: %d certificates, %s signs", len(p.Certificates), name(p.Leaf))
	}
	if got := g.files(); !slices.Equal(got, idleFiles) {
		t.Errorf("left behind: %v", got)
	}
}

// TestRotationForced: a stolen key goes at once; and an expired certificate needs no force.
func TestRotationForced(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	g.run(StageSwitched, prepare, publish, switchTo)
	expired := g.copyRig(t)
	g.run(StageIdle, drop)
	if p := g.pair(); len(p.Certificates) != 1 {
		t.Errorf("%d certificates", len(p.Certificates))
	}

	if err := os.Remove(expired.r.recordFile()); err != nil {
		t.Fatal(err)
	}
	expired.refuses(finish, "no record of when its key was last used")
	expired.now = expired.now.AddDate(0, 0, 31)
	if st, err := expired.r.Finish(false); err != nil || st.Stage != StageIdle {
		t.Errorf("%+v, %v", st, err)
	}
}

// TestRollback goes back from each stage, and forward again.
func TestRollback(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	old := g.pair().Leaf
	for _, to := range [][]step{{prepare}, {prepare, publish}, {prepare, publish, rollback, prepare}} {
		g.run(StageIdle, append(slices.Clone(to), rollback, rollback)...)
		if p := g.pair(); !p.Leaf.Equal(old) || len(p.Certificates) != 1 || !slices.Equal(g.files(), idleFiles) {
			t.Errorf("after %d steps and back: %d certificates, files %v", len(to), len(p.Certificates), g.files())
		}
	}
	// The new key has signed tokens: its certificate stays until they are over.
	st := g.run(StagePublished, prepare, publish, switchTo, rollback)
	if p := g.pair(); !p.Leaf.Equal(old) || len(p.Certificates) != 2 || !p.Certificates[0].Equal(old) {
		t.Errorf("rolled back: %d certificates, %s signs", len(p.Certificates), name(p.Leaf))
	}
	g.refuses(rollback, "may be in use until")
	again := g.copyRig(t)
	stolen := g.copyRig(t)
	g.now = st.TokensUntil
	g.run(StageIdle, rollback)
	if p := g.pair(); len(p.Certificates) != 1 || !slices.Equal(g.files(), idleFiles) {
		t.Errorf("%d certificates, files %v", len(p.Certificates), g.files())
	}
	again.run(StageSwitched, switchTo)
	if p := again.pair(); p.Leaf.Equal(old) {
		t.Error("switched again, and the old key signs")
	}
	stolen.run(StageIdle, switchTo, backNow)
	if p := stolen.pair(); !p.Leaf.Equal(old) || len(p.Certificates) != 1 {
		t.Errorf("forced back: %d certificates, %s signs", len(p.Certificates), name(p.Leaf))
	}
	// There is no way back to what has expired.
	late := newRig(t)
	late.run(StagePublished, func(r *Rotation) (*RotationStatus, error) { return r.Prepare(PrepareOptions{ValidDays: 29}) }, publish)
	late.now = late.now.AddDate(0, 0, 31)
	late.refuses(switchTo, "expired on")
}

var errKilled = errors.New("killed")

// TestRotationKilled kills each stage before each of its writes. A server must find a pair at every such instant, and the same
// command again must lead to the same end.
func TestRotationKilled(t *testing.T) {
	t.Parallel()
	request := func(r *Rotation) (*RotationStatus, error) { return r.Prepare(PrepareOptions{Request: true}) }
	for _, tt := range []struct {
		name   string
		before []step
		late   time.Duration
		step   step
	}{
		{"prepare", nil, 0, prepare},
		{"request", nil, 0, request},
		{"publish", []step{prepare}, 0, publish},
		{"switch", []step{prepare, publish}, 0, switchTo},
		{"finish", []step{prepare, publish, switchTo}, 2 * tokenLife, finish},
		{"finish, compromised", []step{prepare, publish, switchTo}, 0, drop},
		{"rollback of request", []step{request}, 0, rollback},
		{"rollback of prepare", []step{prepare}, 0, rollback},
		{"rollback of publish", []step{prepare, publish}, 0, rollback},
		{"rollback of switch", []step{prepare, publish, switchTo}, 0, rollback},
		{"rollback of switch, compromised", []step{prepare, publish, switchTo}, 0, backNow},
		{"rollback of rollback", []step{prepare, publish, switchTo, rollback}, 2 * tokenLife, rollback},
		{"switch after rollback", []step{prepare, publish, switchTo, rollback}, 0, switchTo},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			from := newRig(t)
			for _, s := range tt.before {
				if _, err := s(from.r); err != nil {
					t.Fatal(err)
				}
			}
			from.now = from.now.Add(tt.late)
			whole := from.copyRig(t)
			var writes []string
			whole.r.before = func(what, path string) error {
				writes = append(writes, what+" "+filepath.Base(path))
				whole.pair()
				return nil
			}
			want, err := tt.step(whole.r)
			if err != nil || len(writes) == 0 {
				t.Fatalf("%v, writes %v", err, writes)
			}
			t.Log(strings.Join(writes, ", "))
			for n, write := range writes {
				g := from.copyRig(t)
				// Killed at this write, then again one write later, and then left alone.
				for round, at := range []int{n, 1} {
					seen := 0
					g.r.before = func(string, string) error {
						if seen++; seen > at {
							return errKilled
						}
						return nil
					}
					if _, err := tt.step(g.r); err != nil && !errors.Is(err, errKilled) {
						t.Fatalf("before %s: %v", write, err)
					} else if round == 0 && err == nil {
						t.Fatalf("not killed before %s", write)
					}
					g.pair()
				}
				g.r.before = nil
				got, err := tt.step(g.r)
				if err != nil {
					if strings.Contains(tt.name, "rollback of switch") && strings.Contains(err.Error(), "may be in use until") {
						if got, err = g.r.Status(); err != nil { // the second attempt had brought it to its end
							t.Fatal(err)
						}
					} else {
						t.Fatalf("after a kill before %s: %v", write, err)
					}
				}
				if a, b := g.outcome(got), whole.outcome(want); a != b {
					t.Errorf("after a kill before %s:\n%s\nwant\n%s", write, a, b)
				}
			}
		})
	}
}

// outcome tells what matters of a state, with no keys in it, since prepare makes other ones each time.
func (g *rig) outcome(st *RotationStatus) string {
	g.t.Helper()
	p := g.pair()
	modes := map[string]fs.FileMode{}
	for _, name := range g.files() {
		for _, dir := range []string{"certs", "private"} {
			if info, err := os.Stat(filepath.Join(g.dir, dir, name)); err == nil {
				modes[name] = info.Mode()
			}
		}
	}
	signs := slices.IndexFunc(p.Certificates, p.Leaf.Equal)
	next := slices.IndexFunc(p.Certificates, func(c *x509.Certificate) bool { return st.Next != nil && c.Equal(st.Next) })
	var files []string
	for _, name := range slices.Sorted(maps.Keys(modes)) {
		files = append(files, fmt.Sprint(name, modes[name]))
	}
	return fmt.Sprintf("stage %s; %d certificates, number %d signs, number %d is next, %d retired, tokens known %v; files %v",
		st.Stage, len(p.Certificates), signs, next, len(st.Retired), !st.TokensUntil.IsZero(), files)
}

// TestRotationAlone: of two at the same time one is refused.
func TestRotationAlone(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	g.r.before = func(string, string) error {
		other := *g.r
		other.before = nil
		if _, err := other.Prepare(PrepareOptions{}); err == nil || !strings.Contains(err.Error(), "another rotation is at work") {
			t.Errorf("%v", err)
		}
		return nil
	}
	g.run(StagePrepared, prepare)
}

// TestRotationFree: a rotation that is over keeps nobody out, though a child process that is being started still holds what it had open.
func TestRotationFree(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	private := filepath.Dir(g.r.KeyFile)
	child := -1
	g.r.before = func(string, string) error {
		open, err := filepath.Glob("/proc/self/fd/*")
		for _, fd := range open {
			if to, _ := os.Readlink(fd); to == private && child < 0 {
				n, _ := strconv.Atoi(filepath.Base(fd))
				child, err = syscall.Dup(n)
			}
		}
		return err
	}
	g.run(StagePrepared, prepare)
	if child < 0 {
		t.Skip("no /proc/self/fd here: what is open cannot be seen")
	}
	defer syscall.Close(child)
	g.run(StagePublished, publish)
}

// TestRotationFollowsLinks: what a symbolic link points to is replaced, and the link stays.
func TestRotationFollowsLinks(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	old := g.pair().Leaf
	for _, path := range []*string{&g.r.CertFile, &g.r.KeyFile} {
		link := filepath.Join(t.TempDir(), "link.pem")
		if err := os.Symlink(*path, link); err != nil {
			t.Fatal(err)
		}
		*path = link
	}
	g.run(StageIdle, prepare, publish, switchTo, drop)
	for _, path := range []string{g.r.CertFile, g.r.KeyFile} {
		if info, err := os.Lstat(path); err != nil || info.Mode().Type() != fs.ModeSymlink {
			t.Errorf("%s is no link any more: %v, %v", path, info.Mode(), err)
		}
	}
	if g.pair().Leaf.Equal(old) || !slices.Equal(g.files(), idleFiles) {
		t.Errorf("files %v", g.files())
	}
}
