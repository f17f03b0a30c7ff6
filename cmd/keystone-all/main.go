// Command keystone-all is the identity backend: the Identity API v3 on a public and an admin port, with PKI, PKIZ and UUID
// tokens. Without a keystone.conf it keeps its database in $XDG_STATE_HOME/authproxy (~/.local/state/authproxy) and answers on
// loopback only.
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
		fmt.Fprintln(os.Stderr, "keystone-all:", err)
		os.Exit(1)
	}
}
