package listen

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func TestParse(t *testing.T) {
	for _, text := range []string{"127.0.0.1:80", ":80", "[::1]:80", "host:http", "unix:/run/x", "unix:/run/x,mode=0600", "systemd", "systemd:web"} {
		if a, err := Parse(text, "data"); err != nil || a.String() != text {
			t.Errorf("%s: %v %v", text, a, err)
		}
	}
	for text, want := range map[string]string{
		"":                       "write HOST:PORT",
		"80":                     "write HOST:PORT",
		"/run/x":                 "write HOST:PORT",
		"::1:80":                 "write HOST:PORT",
		"unix:":                  "absolute path",
		"unix:run/x":             "absolute path",
		"unix:/run/":             "absolute path",
		"unix:/x,0660":           "octal",
		"unix:/x,mode=":          "octal",
		"unix:/x,mode=rw":        "octal",
		"unix:/x,mode=4777":      "octal",
		"unix:/x,mode=0660,mode": "octal",
		"systemd:":               "systemd:NAME",
	} {
		if _, err := Parse(text, "data"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error with %q", text, err, want)
		}
	}
}

func open(t *testing.T, text string) (net.Listener, error) {
	t.Helper()
	a, err := Parse(text, "data")
	if err != nil {
		t.Fatal(err)
	}
	return a.Listen(t.Context(), nil)
}

func TestUnix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := open(t, "unix:"+path+",mode=0620")
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o620 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if l.Addr().String() != path || l.Addr().Network() != "unix" {
		t.Error(l.Addr())
	}
	if _, err := open(t, "unix:"+path); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a second one: %v", err)
	}
	if c, err := net.Dial("unix", path); err != nil {
		t.Error(err)
	} else {
		c.Close()
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v %v", entries, err)
	}
	l.Close()
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Error("the socket is left behind")
	}

	// One that a killed process has left is replaced.
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	left.SetUnlinkOnClose(false)
	left.Close()
	old, err := open(t, "unix:"+path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	// Not ours any more: it stays.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	l, err = open(t, "unix:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	old.Close()
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}

	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, "unix:"+file); err == nil || !strings.Contains(err.Error(), "is no socket") {
		t.Errorf("a file in its place: %v", err)
	}
}

// Sockets that are meant for another process, a parent's say, are not ours. The rest is tested with the program.
func TestNotForUs(t *testing.T) {
	t.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid()+1))
	t.Setenv("LISTEN_FDS", "1")
	h, err := FromSystemd()
	if err != nil || len(h.Rest()) != 0 || os.Getenv("LISTEN_FDS") != "" {
		t.Error(h, err)
	}
	if _, err := h.take("data"); err == nil || !strings.Contains(err.Error(), "FileDescriptorName=data") {
		t.Error(err)
	}
	t.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid()))
	t.Setenv("LISTEN_FDS", "many")
	if _, err := FromSystemd(); err == nil {
		t.Error("many sockets")
	}
}

func TestNotify(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	if err := Notify("READY=1"); err != nil {
		t.Error(err)
	}
	for _, path := range []string{filepath.Join(t.TempDir(), "n"), "@authproxy-test-" + strconv.Itoa(os.Getpid())} {
		l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		t.Setenv("NOTIFY_SOCKET", path)
		if err := Notify("READY=1"); err != nil {
			t.Error(err)
		}
		b := make([]byte, 100)
		if n, err := l.Read(b); err != nil || string(b[:n]) != "READY=1" {
			t.Errorf("%q %v", b[:n], err)
		}
		l.Close()
		if err := Notify("READY=1"); err == nil {
			t.Error("told nobody")
		}
	}
	t.Setenv("NOTIFY_SOCKET", "vsock:2:1")
	if err := Notify("READY=1"); err == nil {
		t.Error("a socket of another kind")
	}
}
