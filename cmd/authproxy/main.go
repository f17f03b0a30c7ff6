// Command authproxy puts OpenStack identity before a service: it checks the tokens of each request, tells the service by
// headers who is asking, and passes the request on.
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
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	release := raiseHeapFloor()
	err := run(ctx, os.Args, os.Stdout, os.Stderr)
	release()
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "authproxy:", err)
		os.Exit(1)
	}
}
