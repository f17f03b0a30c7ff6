package listen

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Handed are the sockets that systemd opened for the process (sd_listen_fds). The zero Handed are none.
type Handed struct {
	sockets []socket
}

type socket struct {
	name  string
	file  *os.File
	taken bool
}

// firstFD is where systemd puts sockets: SD_LISTEN_FDS_START.
const firstFD = 3

// FromSystemd takes over the sockets that systemd opened for this process, and the variables that say so. It is called once.
func FromSystemd() (*Handed, error) {
	count, names := os.Getenv("LISTEN_FDS"), os.Getenv("LISTEN_FDNAMES")
	meant := os.Getenv("LISTEN_PID") == strconv.Itoa(os.Getpid())
	for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		if err := os.Unsetenv(name); err != nil {
			return nil, err
		}
	}
	if !meant || count == "" {
		return &Handed{}, nil
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 || n > 1024 {
		return nil, fmt.Errorf("LISTEN_FDS is %q, which is no number of sockets", count)
	}
	h := &Handed{}
	all := strings.Split(names, ":")
	for i := range n {
		s := socket{name: "unknown"} // what systemd writes where a unit says nothing
		if i < len(all) && all[i] != "" {
			s.name = all[i]
		}
		syscall.CloseOnExec(firstFD + i)
		s.file = os.NewFile(uintptr(firstFD+i), "systemd:"+s.name)
		h.sockets = append(h.sockets, s)
	}
	return h, nil
}

// take gives the listener of a name.
func (h *Handed) take(name string) (net.Listener, error) {
	i := -1
	if h != nil {
		i = slices.IndexFunc(h.sockets, func(s socket) bool { return s.name == name && !s.taken })
	}
	if i < 0 {
		return nil, fmt.Errorf("systemd has handed over no socket named %s%s; the socket's unit needs FileDescriptorName=%s", name, h.others(), name)
	}
	s := &h.sockets[i]
	s.taken = true
	defer s.file.Close() // the listener has a duplicate
	l, err := net.FileListener(s.file)
	if err != nil {
		return nil, fmt.Errorf("the socket %s of systemd: %w; it must be of ListenStream=, with Accept=no", name, err)
	}
	return l, nil
}

func (h *Handed) others() string {
	if rest := h.Rest(); len(rest) > 0 {
		return ", but " + strings.Join(rest, ", ")
	}
	return ""
}

// Rest names the sockets that nobody has asked for.
func (h *Handed) Rest() (names []string) {
	if h == nil {
		return nil
	}
	for _, s := range h.sockets {
		if !s.taken {
			names = append(names, s.name)
		}
	}
	return names
}

// Notify tells the service manager about the state of the process (sd_notify): "READY=1", "STOPPING=1". Without a service manager
// that wants to know it does nothing.
func Notify(state string) error {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	if path[0] != '/' && path[0] != '@' {
		return errors.New("NOTIFY_SOCKET is neither a path nor an abstract name")
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("telling the service manager: %w", err)
	}
	defer c.Close()
	if _, err := c.Write([]byte(state)); err != nil {
		return fmt.Errorf("telling the service manager: %w", err)
	}
	return nil
}
