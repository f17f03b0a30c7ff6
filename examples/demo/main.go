// Command demo shows the whole chain on one machine: an identity backend issues a PKI token, authproxy checks it offline before
// a service that knows nothing of tokens, and the token's revocation takes effect. Every program and every request is real;
// "make demo" runs it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"authproxy/examples/cloud"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout io.Writer) (err error) {
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	bin := flags.String("bin", "bin", "folder of the programs")
	keep := flags.Bool("keep", false, "leave everything running at the end, until Ctrl-C")
	if err := flags.Parse(args); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "authproxy-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	programs, err := filepath.Abs(*bin)
	if err != nil {
		return err
	}
	c := &cloud.Cloud{Dir: dir, Bin: programs}
	// Whatever happens, what was started is stopped.
	defer func() { err = errors.Join(err, c.Stop()) }()
	s := &story{cloud: c, out: stdout}
	if err := s.tell(ctx); err != nil {
		return err
	}
	if !*keep {
		fmt.Fprintln(stdout, "\nStopping. \"make demo KEEP=1\" leaves it running for you to try.")
		return nil
	}
	s.invite()
	<-ctx.Done()
	return nil
}
