package command

import (
	"fmt"
	"io"
	"time"
)

// patience is how long a command may be silent.
const patience = 2 * time.Second

// progress says on w what takes so long, every patience, until the returned function is called.
func progress(w io.Writer, what string) (done func()) {
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		started := time.Now()
		tick := time.NewTicker(patience)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				fmt.Fprintf(w, "%s ... %.0f s\n", what, time.Since(started).Seconds())
			case <-stop:
				return
			}
		}
	}()
	return func() {
		close(stop)
		<-stopped
	}
}
