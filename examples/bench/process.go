package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// cores is how many there were before this process kept to one.
var cores = runtime.NumCPU()

// The cores of client, upstream and whatever else a peer asks, and of the peers, where there are two and the means to pin.
const (
	ownCore  = "0"
	peerCore = "1"
)

// pinSelf keeps client and upstream to their core.
func pinSelf(ctx context.Context) error {
	taskset, err := exec.LookPath("taskset")
	if err != nil || cores < 2 {
		return nil // the ratios are still those of one run
	}
	runtime.GOMAXPROCS(1)
	out, err := exec.CommandContext(ctx, taskset, "-apc", ownCore, strconv.Itoa(os.Getpid())).CombinedOutput()
	if err != nil {
		return fmt.Errorf("taskset: %w\n%s", err, out)
	}
	return nil
}

// process is a running program.
type process struct {
	cmd  *exec.Cmd
	log  *bytes.Buffer // to be read after done
	done chan struct{}
}

// start runs a program on a core and waits until it listens.
func start(ctx context.Context, core string, args []string, addr string) (*process, error) {
	if taskset, err := exec.LookPath("taskset"); err == nil && cores > 1 {
		args = append([]string{taskset, "-c", core}, args...)
	}
	p := &process{cmd: exec.Command(args[0], args[1:]...), log: new(bytes.Buffer), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	p.cmd.Env = append(os.Environ(), "GOMAXPROCS=1", "PATH=/usr/bin:"+os.Getenv("PATH")) // uwsgi's Python looks for itself there
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait() // why it ended is in its log
		close(p.done)
	}()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); ; {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			return p, conn.Close()
		}
		select {
		case <-p.done:
			return nil, fmt.Errorf("%s ended at once:\n%s", filepath.Base(args[0]), p.log)
		case <-ctx.Done():
			p.stop()
			return nil, ctx.Err()
		case <-tick.C:
		}
		if time.Now().After(deadline) {
			p.stop()
			return nil, fmt.Errorf("%s does not listen:\n%s", filepath.Base(args[0]), p.log)
		}
	}
}

// stop ends the program and waits for it.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(5 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// cpu is the processor time that processes and their children have used, by the scheduler's own count of nanoseconds.
func cpu(roots ...int) (total time.Duration, err error) {
	if len(roots) == 0 {
		return 0, nil
	}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	for _, file := range stats {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // ended meanwhile
		}
		// pid (comm) state ppid … utime stime are fields 14 and 15; comm may hold blanks.
		_, rest, _ := strings.Cut(string(text), ") ")
		fields := strings.Fields(rest)
		if len(fields) < 13 {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		ppid, _ := strconv.Atoi(fields[1])
		for _, root := range roots {
			if pid == root || ppid == root {
				used, err := used(pid, fields[11:13])
				if err != nil {
					return 0, err
				}
				total += used
			}
		}
	}
	return total, nil
}

// used adds up the threads of a process; where the kernel keeps no such count, it is that of user and system time in ticks.
func used(pid int, ticks []string) (total time.Duration, err error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil {
		return 0, err
	}
	for _, file := range threads {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		onCore, _, _ := strings.Cut(string(text), " ")
		ns, err := strconv.ParseInt(onCore, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", file, err)
		}
		total += time.Duration(ns)
	}
	if total > 0 {
		return total, nil
	}
	for _, t := range ticks {
		n, err := strconv.ParseInt(t, 10, 64)
		if err != nil {
			return 0, err
		}
		total += time.Duration(n) * time.Second / 100 // USER_HZ is 100 on Linux
	}
	return total, nil
}

// resident is the memory that a process has now, in bytes; 0 where that is not known.
func resident(pid int) int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, _ := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")))
			return kb << 10
		}
	}
	return 0
}
