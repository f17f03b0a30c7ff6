//go:build unix && (!linux || race)

package socket

import "syscall"

// These are the calls of package syscall. They also tell the race detector that what one side wrote comes before what the other reads.

func read(fd uintptr, p []byte) (int, syscall.Errno) {
	return result(func() (int, error) { return syscall.Read(int(fd), p) })
}

func write(fd uintptr, p []byte) (int, syscall.Errno) {
	return result(func() (int, error) { return syscall.Write(int(fd), p) })
}

func peek(fd uintptr, p []byte) (int, syscall.Errno) {
	return result(func() (int, error) {
		n, _, err := syscall.Recvfrom(int(fd), p, syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		return n, err
	})
}

func result(call func() (int, error)) (int, syscall.Errno) {
	for {
		n, err := call()
		errno, _ := err.(syscall.Errno)
		if errno != syscall.EINTR {
			return n, errno
		}
	}
}
