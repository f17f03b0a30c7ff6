// Command keystone-manage is the operator's tool for the identity backend: it makes the database, the first users and the
// signing certificates.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "keystone-manage:", err)
		os.Exit(1)
	}
}
