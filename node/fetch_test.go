package node

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"lockstep/wire"
)

// patience is for what is expected to come, on a machine as busy as it may be.
const patience = 2 * time.Minute

// fetchFrom fetches from a server of the test's, with a limit for one request.
func fetchFrom(t *testing.T, limit time.Duration, serve http.HandlerFunc) (got int, err error) {
	t.Helper()
	server := httptest.NewServer(serve)
	defer server.Close()
	n := &Node{client: &http.Client{Timeout: limit}}
	n.config.Cluster.Nodes = []NodeConfig{{ID: 2, Control: strings.TrimPrefix(server.URL, "http://")}}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		err = n.fetch(t.Context(), 2, 1, 0, 1<<20, func(b []byte) error {
			got += len(b)
			return nil
		})
	}()
	select {
	case <-ended:
	case <-time.After(patience):
		t.Fatal("the fetch does not end")
	}
	return got, err
}

// The core waits for a catch-up until it is told that it ended: every fetch ends, whatever the server does.
func TestFetchEnds(t *testing.T) {
	for what, serve := range map[string]http.HandlerFunc{
		"the server never answers": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"the server hangs in its answer": func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write(make([]byte, 1000))
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		},
		"the server drips": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				_, _ = w.Write([]byte{1})
				w.(http.Flusher).Flush()
				time.Sleep(time.Millisecond)
			}
		},
		"the server refuses": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusConflict) },
	} {
		if got, err := fetchFrom(t, 200*time.Millisecond, serve); err == nil {
			t.Errorf("%s: %d bytes and no error", what, got)
		}
	}
}

// A server that has nothing more is given up after a while, not asked for ever.
func TestFetchGivesUpOnAServerWithNothing(t *testing.T) {
	asked := 0
	got, err := fetchFrom(t, patience, func(http.ResponseWriter, *http.Request) { asked++ })
	if err == nil || !strings.Contains(err.Error(), "nothing beyond") || got != 0 || asked < 2 {
		t.Errorf("%d bytes, asked %d times: %v", got, asked, err)
	}
	got, err = fetchFrom(t, patience, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 1<<20+100)) })
	if err != nil || got != 1<<20 {
		t.Errorf("a server that sends too much: %d bytes of %d: %v", got, 1<<20, err)
	}
	got, err = fetchFrom(t, patience, func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("from") == "0" {
			_, _ = w.Write(make([]byte, 1<<20))
		}
	})
	if err != nil || wire.Position(got) != 1<<20 {
		t.Errorf("%d of %d bytes: %v", got, 1<<20, err)
	}
}
