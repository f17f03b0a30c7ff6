// Package listen opens the sockets that requests come by: addresses of TCP, paths of unix sockets, and what systemd hands over.
package listen

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// Address is where to listen, from Parse.
type Address struct {
	text string
	// One of these is set: a TCP address, the path of a unix socket, the name of a socket of systemd's.
	tcp, unix, systemd string
	mode               fs.FileMode
}

// Parse reads HOST:PORT, unix:/PATH with ,mode=0660 behind it or not (0660 is the default), systemd:NAME for the socket that a
// systemd unit names so by FileDescriptorName=, or systemd alone for the one named as given here.
func Parse(text, name string) (Address, error) {
	a := Address{text: text}
	switch {
	case text == "systemd":
		a.systemd = name
	case strings.HasPrefix(text, "systemd:"):
		if a.systemd = text[len("systemd:"):]; a.systemd == "" {
			return a, fmt.Errorf("%q: write systemd:NAME, with the FileDescriptorName of the socket's unit", text)
		}
	case strings.HasPrefix(text, "unix:"):
		path, options, more := strings.Cut(text[len("unix:"):], ",")
		if a.unix = path; !filepath.IsAbs(path) || strings.HasSuffix(path, "/") {
			return a, fmt.Errorf("%q: write unix:/PATH, with an absolute path", text)
		}
		if a.mode = 0o660; more {
			octal, ok := strings.CutPrefix(options, "mode=")
			mode, err := strconv.ParseUint(octal, 8, 32)
			if !ok || err != nil || mode > 0o777 {
				return a, fmt.Errorf("%q: behind the path may stand ,mode=0660, an octal number", text)
			}
			a.mode = fs.FileMode(mode)
		}
	default:
		if _, _, err := net.SplitHostPort(text); err != nil {
			return a, fmt.Errorf("%q: write HOST:PORT, unix:/PATH or systemd", text)
		}
		a.tcp = text
	}
	return a, nil
}

func (a Address) String() string { return a.text }

// Unix says whether the address is the path of a unix socket. What systemd hands over is known once it is there.
func (a Address) Unix() bool { return a.unix != "" }

// Systemd says whether the socket is one that systemd hands over.
func (a Address) Systemd() bool { return a.systemd != "" }

// Local says whether only this machine reaches the address. What systemd hands over is believed to be so.
func (a Address) Local() bool {
	if a.tcp == "" {
		return true
	}
	host, _, err := net.SplitHostPort(a.tcp)
	if err != nil {
		return false
	}
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.Unmap().IsLoopback()
}

// Listen opens the socket.
func (a Address) Listen(ctx context.Context, handed *Handed) (net.Listener, error) {
	switch {
	case a.systemd != "":
		return handed.take(a.systemd)
	case a.unix != "":
		return listenUnix(ctx, a.unix, a.mode)
	}
	var config net.ListenConfig
	return config.Listen(ctx, "tcp", a.tcp)
}

// listenUnix makes a socket under another name, so that nobody can connect before it has its mode, and then puts it in its place.
// A socket that nobody listens on any more is replaced.
func listenUnix(ctx context.Context, path string, mode fs.FileMode) (net.Listener, error) {
	if info, err := os.Lstat(path); err == nil {
		if info.Mode().Type() != fs.ModeSocket {
			return nil, fmt.Errorf("%s is there and is no socket", path)
		}
		var dialer net.Dialer
		c, err := dialer.DialContext(ctx, "unix", path)
		if err == nil {
			c.Close()
		}
		if !errors.Is(err, syscall.ECONNREFUSED) {
			return nil, fmt.Errorf("%s: %w: somebody listens there", path, syscall.EADDRINUSE)
		}
	}
	made := path + "." + strconv.Itoa(os.Getpid())
	if err := os.Remove(made); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: made, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // it would unlink the first name
	if err = os.Chmod(made, mode); err == nil {
		err = os.Rename(made, path)
	}
	var info fs.FileInfo
	if err == nil {
		info, err = os.Lstat(path)
	}
	if err != nil {
		l.Close()
		os.Remove(made)
		return nil, err
	}
	return &unixListener{UnixListener: l, path: path, made: info}, nil
}

// unixListener removes its socket when it is closed, unless that has another one in its place by then.
type unixListener struct {
	*net.UnixListener
	path string
	made fs.FileInfo
	once sync.Once
}

// Addr has the path that clients connect to.
func (l *unixListener) Addr() net.Addr { return &net.UnixAddr{Name: l.path, Net: "unix"} }

func (l *unixListener) Close() error {
	l.once.Do(func() {
		if info, err := os.Lstat(l.path); err == nil && os.SameFile(info, l.made) {
			os.Remove(l.path)
		}
	})
	return l.UnixListener.Close()
}
