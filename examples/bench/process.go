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

// pinSelf keeps client and upstream to the first core, where there are two and the means to do so.
func pinSelf(ctx context.Context) error {
	taskset, err := exec.LookPath("taskset")
	if err != nil || cores < 2 {
		return nil // the ratios are still those of one run
	}
	runtime.GOMAXPROCS(1)
	out, err := exec.CommandContext(ctx, taskset, "-apc", "0", strconv.Itoa(os.Getpid())).CombinedOutput()
	if err != nil {
		return fmt.Errorf("taskset: %w\n%s", err, out)
	}
	return nil
}

// process is a running peer, with a core to itself where there are two.
type process struct {
	cmd  *exec.Cmd
	log  *bytes.Buffer
	done chan struct{}
}

func (b *bench) start(ctx context.Context, args []string, addr string) (*process, error) {
	if taskset, err := exec.LookPath("taskset"); err == nil && cores > 1 {
		args = append([]string{taskset, "-c", "1"}, args...)
	}
	p := &process{cmd: exec.Command(args[0], args[1:]...), log: new(bytes.Buffer), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	p.cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait() // why it ended is in its log
		close(p.done)
	}()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(10 * time.Second); ; {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			return p, conn.Close()
		}
		select {
		case <-p.done:
			return nil, fmt.Errorf("ended at once:\n%s", p.log)
		case <-ctx.Done():
			p.stop()
			return nil, ctx.Err()
		case <-tick.C:
		}
		if time.Now().After(deadline) {
			p.stop()
			return nil, fmt.Errorf("does not listen:\n%s", p.log)
		}
	}
}

func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(5 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// cpu is the processor time that the peer and its children have used.
func (p *process) cpu() (time.Duration, error) {
	root := p.cmd.Process.Pid
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	var total time.Duration
	for _, file := range stats {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // ended meanwhile
		}
		// pid (comm) state ppid … utime stime are fields 14 and 15; comm may hold blanks.
		_, rest, ok := strings.Cut(string(text), ") ")
		fields := strings.Fields(rest)
		if !ok || len(fields) < 13 {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		ppid, _ := strconv.Atoi(fields[1])
		if pid != root && ppid != root {
			continue
		}
		for _, ticks := range fields[11:13] {
			n, err := strconv.ParseInt(ticks, 10, 64)
			if err != nil {
				return 0, err
			}
			total += time.Duration(n) * time.Second / 100 // USER_HZ is 100 on Linux
		}
	}
	return total, nil
}
