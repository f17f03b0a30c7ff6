package app

import (
	"os"
	"sync"
	"time"
)

// logFile is a log that is written to another file of its name once it was moved away or removed, as logrotate does: Keystone's
// handler does so too.
type logFile struct {
	path string
	now  func() time.Time

	mu     sync.Mutex
	file   *os.File
	looked time.Time
}

// lookAfter is the time between two looks at whether the file is still there.
const lookAfter = time.Second

func openLog(path string) (*logFile, error) {
	l := &logFile{path: path, now: time.Now}
	return l, l.open()
}

func (l *logFile) open() error {
	f, err := os.OpenFile(l.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	if l.file != nil {
		l.file.Close()
	}
	l.file = f
	return nil
}

func (l *logFile) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := l.now(); now.Sub(l.looked).Abs() >= lookAfter {
		l.looked = now
		if l.moved() {
			_ = l.open() // where that fails the file before goes on, and the next look tries again
		}
	}
	return l.file.Write(p)
}

// moved says whether something else than the open file has its name.
func (l *logFile) moved() bool {
	is, err := l.file.Stat()
	if err != nil {
		return true
	}
	named, err := os.Stat(l.path)
	return err != nil || !os.SameFile(is, named)
}

func (l *logFile) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file.Close()
}
