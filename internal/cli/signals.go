package cli

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// interruptible returns a context that ends with the first CTRL+C or SIGTERM,
// for the program to drain. The second calls quit with the status of an
// interrupted program. stop undoes it.
func interruptible(parent context.Context, stderr io.Writer, quit func(status int)) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancel(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if _, ok := <-signals; !ok {
			return
		}
		cancel() // first: whoever reads that it is stopping finds it so
		Notice(stderr, "Stopping; press CTRL+C again to quit at once")
		if _, ok := <-signals; ok {
			quit(StatusInterrupted)
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(signals)
		<-done
		cancel()
	}
}
