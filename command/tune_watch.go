package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"lockstep/tuning"
)

func tuneReportCommand() *cobra.Command {
	var f tuneFlags
	c := &cobra.Command{
		Use:   "report",
		Short: "Everything about the host in one text or JSON, for whoever helps; changes nothing",
		Long: `Print who the host is (name, kernel, processor, cores, kernel command line), what lockstep tune check finds, and what
lockstep tune apply has changed and revert would put back.`,
		Example: `  lockstep tune report --profile leader --interface eth0 --dir /var/lib/lockstep --core 2
  lockstep tune report --profile lab --json`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			h, err := f.look()
			if err != nil {
				return err
			}
			report, err := tuning.Collect(h, f.target, f.options().State, time.Now())
			if err != nil {
				return err
			}
			if f.asJSON {
				return json.NewEncoder(c.OutOrStdout()).Encode(report)
			}
			return report.Print(c.OutOrStdout())
		},
	}
	f.looking(c)
	f.storing(c)
	return c
}

// watchFlags are what watch takes beside.
type watchFlags struct {
	tuneFlags
	every   time.Duration
	seconds float64
	listen  string
}

func tuneWatchCommand() *cobra.Command {
	var f watchFlags
	c := &cobra.Command{
		Use:   "watch",
		Short: "Look at the host again and again, and print what changes; holds cores out of deep idle states",
		Long: `Look at the host again and again, print every item whose state has changed, and serve score and states to Prometheus at
http://LISTEN/metrics. While it runs it holds /dev/cpu_dma_latency at 0, so that no core goes into a deep idle state.`,
		Example: `  lockstep tune watch --profile lab --every 1s --seconds 3
  lockstep tune watch --profile leader --interface eth0 --core 2 --listen 127.0.0.1:9477`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if f.every < 10*time.Millisecond || f.seconds < 0 {
				return fmt.Errorf("%w: --every %s: want 10ms or more, and --seconds 0 or more", errUsage, f.every)
			}
			h, err := f.look()
			if err != nil {
				return err
			}
			ctx := c.Context()
			if f.seconds > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, time.Duration(f.seconds*float64(time.Second)))
				defer cancel()
			}
			return f.watch(ctx, h, c.OutOrStdout())
		},
	}
	f.looking(c)
	c.Flags().DurationVar(&f.every, "every", 10*time.Second, "time between two looks")
	c.Flags().Float64Var(&f.seconds, "seconds", 0, "end after so long; 0: when told to (SIGINT, SIGTERM)")
	c.Flags().StringVar(&f.listen, "listen", "", "serve /metrics at this address")
	return c
}

// watched is a watch that two goroutines look at.
type watched struct {
	mu sync.Mutex
	tuning.Watch
}

func (w *watched) look() ([]tuning.Shift, int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.Look()
}

func (w *watched) ServeHTTP(out http.ResponseWriter, _ *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	out.Header().Set("Content-Type", "text/plain; version=0.0.4")
	_ = w.Export(out) // a client that went away
}

// watch looks until ctx ends.
func (f *watchFlags) watch(ctx context.Context, h *tuning.Host, out io.Writer) error {
	if filepath.Clean(f.root) == "/" {
		held, err := tuning.HoldLatency(h)
		if err != nil {
			f.tell(out, time.Now(), err.Error(), nil)
		} else {
			defer held.Close()
		}
	}
	w := &watched{Watch: tuning.Watch{Host: h, Target: f.target}}
	_, score := w.look()
	f.tell(out, time.Now(), fmt.Sprintf("score %d of 100", score), nil)
	failed := make(chan error, 1)
	if f.listen != "" {
		listener, err := net.Listen("tcp", f.listen)
		if err != nil {
			return fmt.Errorf("%w: --listen: %w", errUsage, err)
		}
		f.tell(out, time.Now(), fmt.Sprintf("metrics at http://%s/metrics", listener.Addr()), nil)
		server := serveMetrics(w, listener, failed)
		defer server.Close()
	}
	tick := time.NewTicker(f.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			return fmt.Errorf("metrics: %w", err)
		case at := <-tick.C:
			shifts, now := w.look()
			for _, s := range shifts {
				f.tell(out, at, s.String(), &s)
			}
			if now != score {
				f.tell(out, at, fmt.Sprintf("score %d of 100, it was %d", now, score), nil)
			}
			score = now
		}
	}
}

// tell prints a line, or a JSON line.
func (f *watchFlags) tell(out io.Writer, at time.Time, text string, shift *tuning.Shift) {
	stamp := at.UTC().Format("2006-01-02T15:04:05.000Z")
	if f.asJSON {
		_ = json.NewEncoder(out).Encode(struct {
			At    string        `json:"at"`
			Text  string        `json:"text"`
			Shift *tuning.Shift `json:"shift,omitempty"`
		}{stamp, text, shift})
		return
	}
	fmt.Fprintln(out, stamp, text)
}

// serveMetrics has them to be read until the server is closed.
func serveMetrics(w *watched, listener net.Listener, failed chan<- error) *http.Server {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", w)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			failed <- err
		}
	}()
	return server
}
