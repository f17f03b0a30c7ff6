package policy

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"
)

// DefaultInterval is the time between two looks at the files. They are small, so they are read rather than compared by time:
// an editor that keeps the time of a file, or two changes within one tick of the clock, are not missed.
const DefaultInterval = time.Second

// Files is the rules that files hold at the moment. A change counts as soon as it is seen; while the files are broken or gone,
// the last good rules go on.
type Files struct {
	// File is policy_file, "" for the built-in rules.
	File string
	// Dirs are policy_dirs: the *.json files in them, by name, replace rules of File.
	Dirs     []string
	Options  Options
	Interval time.Duration // DefaultInterval where 0
	Log      *slog.Logger

	current atomic.Pointer[Rules]
	// of the last look: what was read, zero where it could not be, and what was wrong.
	seen   [sha256.Size]byte
	failed string
}

// NewFiles returns the rules of those files. Where none is named the built-in rules count at once, else all is denied until
// Load has read them.
func NewFiles(file string, dirs []string, o Options, log *slog.Logger) *Files {
	f := &Files{File: file, Dirs: dirs, Options: o, Log: log}
	if file == "" && len(dirs) == 0 {
		f.current.Store(defaultRules(o))
	}
	return f
}

// Rule is the one that decides about an action now. Before Load has read the files all is denied.
func (f *Files) Rule(action string) Rule {
	if r := f.current.Load(); r != nil {
		return r.Rule(action)
	}
	return Rule{action: action}
}

// Load reads the files for the first time. Its errors name the file and the rule that is wrong. Not to be called while Run runs.
func (f *Files) Load() error {
	files, ignored, err := f.read()
	if err != nil {
		return err
	}
	f.seen = digest(files)
	return f.use(files, ignored)
}

// Run looks at the files from time to time, until ctx ends.
func (f *Files) Run(ctx context.Context) error {
	if f.File == "" && len(f.Dirs) == 0 {
		<-ctx.Done()
		return nil
	}
	interval := f.Interval
	if interval == 0 {
		interval = DefaultInterval
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			f.look()
		}
	}
}

// look takes what the files hold if that has changed. A fault is told once, not at each look.
func (f *Files) look() {
	files, ignored, err := f.read()
	if err == nil {
		sum := digest(files)
		if sum == f.seen {
			return
		}
		f.seen = sum
		err = f.use(files, ignored)
	} else {
		f.seen = [sha256.Size]byte{}
	}
	switch {
	case err == nil:
		f.failed = ""
	case err.Error() != f.failed:
		f.failed = err.Error()
		f.log().Error("policy files are not good: the last good rules go on", slog.Any("error", err))
	}
}

// use compiles files and puts the rules in the place of those before.
func (f *Files) use(files []File, ignored []string) error {
	rules, err := Compile(files, f.Options)
	if err != nil {
		return err
	}
	f.current.Store(rules)
	names := make([]string, len(files))
	for i := range files {
		names[i] = files[i].Name
	}
	f.log().Info("policy loaded", slog.Any("files", names), slog.Int("rules", rules.Len()))
	for _, w := range rules.Warnings() {
		f.log().Warn("policy", slog.String("warning", w))
	}
	for _, path := range ignored {
		f.log().Warn("policy", slog.String("warning", path+" is not read, for it is not named *.json"))
	}
	return nil
}

// read reads all files. ignored are those in Dirs that are not named as policy files.
func (f *Files) read() (files []File, ignored []string, err error) {
	if f.File == "" {
		files = append(files, builtIn(f.Options)...)
	} else {
		file, err := readFile(f.File)
		if err != nil {
			return nil, nil, fmt.Errorf("[DEFAULT] policy_file: %w", err)
		}
		files = append(files, file)
	}
	for _, dir := range f.Dirs {
		entries, err := os.ReadDir(dir) // ordered by name
		if err != nil {
			return nil, nil, fmt.Errorf("[DEFAULT] policy_dirs: %w", err)
		}
		for _, e := range entries {
			path := filepath.Join(dir, e.Name())
			switch {
			case e.IsDir(), strings.HasPrefix(e.Name(), "."):
			case !strings.HasSuffix(e.Name(), ".json"):
				ignored = append(ignored, path)
			default:
				file, err := readFile(path)
				if err != nil {
					return nil, nil, fmt.Errorf("[DEFAULT] policy_dirs: %w", err)
				}
				files = append(files, file)
			}
		}
	}
	return files, ignored, nil
}

func readFile(path string) (File, error) {
	info, err := os.Stat(path) // first, for opening a pipe waits
	if err != nil {
		return File{}, err
	}
	if !info.Mode().IsRegular() {
		return File{}, &os.PathError{Op: "read", Path: path, Err: errors.New("not a file")}
	}
	file, err := os.Open(path)
	if err != nil {
		return File{}, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	return File{Name: path, Text: text}, err
}

// digest tells contents apart, with the names that they have.
func digest(files []File) (sum [sha256.Size]byte) {
	h := sha256.New()
	for _, f := range files {
		fmt.Fprintf(h, "%d %s %d ", len(f.Name), f.Name, len(f.Text))
		h.Write(f.Text)
	}
	h.Sum(sum[:0])
	return sum
}

func (f *Files) log() *slog.Logger {
	if f.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return f.Log
}
