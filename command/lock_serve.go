package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	flatbuffers "github.com/google/flatbuffers/go"
	"github.com/spf13/cobra"

	"lockstep/client"
	"lockstep/service"
	"lockstep/service/lock"
	"lockstep/wire"
)

// lockServer serves locks over HTTP. It keeps one session, and opens another when that is over: locks taken through it
// are kept by token, not by session.
type lockServer struct {
	flags *shellFlags
	said  io.Writer

	dialing chan struct{} // has room for the one who opens a session
	mu      sync.Mutex
	conn    *client.Conn
}

func lockServeCommand(f *shellFlags) *cobra.Command {
	var listen string
	c := &cobra.Command{
		Use:   "serve",
		Short: "Serve locks over HTTP, and redirect to whoever has one",
		Long: `Serve locks over HTTP to programs that do not speak Lockstep's protocol, and redirect to whoever has one, until
interrupted. Any number of these can run beside each other, on the nodes or where the programs are: they hold nothing but
a session.

  GET    /lock/NAME                       who has it, and what is announced, as JSON
  GET    /lock?prefix=P&after=N           names, as JSON
  PUT    /lock/NAME?ttl=10s               take it, the value in the body: 200 and the token, or 409 and who has it
  PUT    /lock/NAME?ttl=10s&token=T       renew it: 200, or 409 when it is over
  DELETE /lock/NAME?token=T               release it: 204, or 409 when it is over
         /lead/NAME/PATH                  307 to the value of the lock's holder, an URL or host:port, followed by PATH

A NAME in /lead has its slashes as %2F. Where nobody has the lock, or no leader of the cluster answers, the answer is 503
with Retry-After. 504: it is unknown whether the request took effect. Nobody is asked who he is: listen where only those
can connect that may do all of this.`,
		Example: `  lockstep lock serve --listen 127.0.0.1:7590 2> log &
  until grep -q serving log; do sleep 0.05; done
  curl -fs -X PUT --data 127.0.0.1:8080 '127.0.0.1:7590/lock/web?ttl=10s'
  curl -fs 127.0.0.1:7590/lock/web
  curl -s -o /dev/null -w '%{redirect_url}' 127.0.0.1:7590/lead/web/index.html | grep 127.0.0.1:8080/index.html
  kill $!`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			s := &lockServer{flags: f, said: c.ErrOrStderr(), dialing: make(chan struct{}, 1)}
			return s.serve(c.Context(), listen)
		},
	}
	c.Flags().StringVar(&listen, "listen", "", "address to serve at")
	_ = c.MarkFlagRequired("listen")
	return c
}

// serve serves until interrupted.
func (s *lockServer) serve(ctx context.Context, address string) (err error) {
	if _, _, err := s.flags.reach.options(ctx); err != nil {
		return err
	}
	if s.flags.reach.transport != "udp" {
		return fmt.Errorf("%w: --transport %q: lock serve speaks kernel UDP with the cluster", errUsage,
			s.flags.reach.transport)
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("%w: --listen: %w", errUsage, err)
	}
	defer s.close()
	fmt.Fprintf(s.said, "serving at %s\n", listener.Addr())
	server := &http.Server{Handler: s.handler(), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10}
	stop := context.AfterFunc(ctx, func() {
		closing, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = server.Shutdown(closing)
	})
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (s *lockServer) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /lock", s.list)
	mux.HandleFunc("GET /lock/{name...}", s.get)
	mux.HandleFunc("PUT /lock/{name...}", s.put)
	mux.HandleFunc("DELETE /lock/{name...}", s.release)
	mux.HandleFunc("/lead/", s.lead)
	return mux
}

// session returns an open session. One request opens it; the others wait for that as long as they may.
func (s *lockServer) session(ctx context.Context) (*client.Conn, error) {
	if conn := s.current(); conn != nil {
		return conn, nil
	}
	select {
	case s.dialing <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	defer func() { <-s.dialing }()
	if conn := s.current(); conn != nil {
		return conn, nil
	}
	o, _, err := s.flags.reach.options(ctx)
	if err != nil {
		return nil, err
	}
	o.SubmitTimeoutNs = s.flags.timeout.Nanoseconds()
	conn, err := client.Dial(ctx, o)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conn = conn
	return conn, nil
}

// current is the session in use, nil if there is none.
func (s *lockServer) current() *client.Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conn
}

// forget has the next request open another session, if this one is still the one in use.
func (s *lockServer) forget(conn *client.Conn) {
	s.mu.Lock()
	if s.conn == conn {
		s.conn = nil
	}
	s.mu.Unlock()
	_ = conn.Close()
}

func (s *lockServer) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != nil {
		_ = s.conn.Close()
	}
}

// ask sends a request to the service. When it reports false the client of HTTP was told why.
func (s *lockServer) ask(w http.ResponseWriter, r *http.Request, q *lock.Request) (p lock.Response, ok bool) {
	ctx, cancel := context.WithTimeout(r.Context(), s.flags.timeout)
	defer cancel()
	conn, err := s.session(ctx)
	if err != nil {
		w.Header().Set("Retry-After", "1")
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return p, false
	}
	result, err := conn.Submit(ctx, service.Lock, wire.LevelApplied, lock.EncodeRequest(flatbuffers.NewBuilder(256), q))
	if errors.Is(err, client.ErrClosed) {
		s.forget(conn)
	}
	switch {
	case errors.Is(err, client.ErrUnknown):
		http.Error(w, err.Error(), http.StatusGatewayTimeout)
	case err != nil:
		w.Header().Set("Retry-After", "1")
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	case !lock.DecodeResponse(result.Response, &p):
		http.Error(w, "no response of the lock service", http.StatusBadGateway)
	default:
		return p, true
	}
	return p, false
}

// answer sends a response as JSON, with the status that fits it.
func answer(w http.ResponseWriter, p *lock.Response) {
	status := http.StatusOK
	if p.Report == lock.Refused {
		status = http.StatusBadRequest
		switch p.Reason {
		case lock.ReasonHeld, lock.ReasonUnknownToken:
			status = http.StatusConflict
		case lock.ReasonTooManyHolds:
			status = http.StatusInsufficientStorage
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(newLockReport(p))
}

func (s *lockServer) get(w http.ResponseWriter, r *http.Request) {
	q := lock.Request{Command: lock.Get, Name: []byte(r.PathValue("name"))}
	if p, ok := s.ask(w, r, &q); ok {
		answer(w, &p)
	}
}

func (s *lockServer) list(w http.ResponseWriter, r *http.Request) {
	values := r.URL.Query()
	q := lock.Request{Command: lock.List, Name: []byte(values.Get("prefix")), After: []byte(values.Get("after"))}
	if p, ok := s.ask(w, r, &q); ok {
		answer(w, &p)
	}
}

// put takes a lock, or renews it.
func (s *lockServer) put(w http.ResponseWriter, r *http.Request) {
	values := r.URL.Query()
	ttl, err := time.ParseDuration(values.Get("ttl"))
	if err != nil || ttl < time.Millisecond {
		http.Error(w, "ttl: want a time of a millisecond or more, as 10s", http.StatusBadRequest)
		return
	}
	q := lock.Request{Command: lock.Acquire, Name: []byte(r.PathValue("name")), TTLMs: uint64(ttl.Milliseconds()),
		Keep: true}
	if values.Has("token") {
		q.Command = lock.Renew
		if q.Token, err = strconv.ParseUint(values.Get("token"), 10, 64); err != nil {
			http.Error(w, "token: want a number", http.StatusBadRequest)
			return
		}
	} else if q.Value, err = io.ReadAll(http.MaxBytesReader(w, r.Body, lock.MaxValue)); err != nil {
		http.Error(w, fmt.Sprintf("the value: %v (%d bytes at most)", err, lock.MaxValue), http.StatusRequestEntityTooLarge)
		return
	}
	if p, ok := s.ask(w, r, &q); ok {
		answer(w, &p)
	}
}

func (s *lockServer) release(w http.ResponseWriter, r *http.Request) {
	token, err := strconv.ParseUint(r.URL.Query().Get("token"), 10, 64)
	if err != nil {
		http.Error(w, "token: want a number", http.StatusBadRequest)
		return
	}
	q := lock.Request{Command: lock.Release, Name: []byte(r.PathValue("name")), Token: token}
	switch p, ok := s.ask(w, r, &q); {
	case ok && p.Report == lock.Done:
		w.WriteHeader(http.StatusNoContent)
	case ok:
		answer(w, &p)
	}
}

// lead redirects to the holder of a lock.
func (s *lockServer) lead(w http.ResponseWriter, r *http.Request) {
	escaped, path, _ := strings.Cut(strings.TrimPrefix(r.URL.EscapedPath(), "/lead/"), "/")
	name, err := url.PathUnescape(escaped)
	if err != nil || name == "" {
		http.Error(w, "want /lead/NAME/PATH", http.StatusBadRequest)
		return
	}
	p, ok := s.ask(w, r, &lock.Request{Command: lock.Get, Name: []byte(name)})
	switch {
	case !ok:
	case p.Report == lock.Refused:
		answer(w, &p)
	case p.Holder.Token == 0:
		w.Header().Set("Retry-After", "1")
		http.Error(w, "nobody has the lock", http.StatusServiceUnavailable)
	default:
		target, err := holderURL(string(p.Holder.Value), path, r.URL.RawQuery)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		w.Header().Set("Lockstep-Token", strconv.FormatUint(p.Holder.Token, 10))
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Location", target)
		w.WriteHeader(http.StatusTemporaryRedirect)
	}
}

// holderURL is where a request goes whose lock has this value: an URL, or host:port for HTTP.
func holderURL(value, path, query string) (string, error) {
	if !strings.Contains(value, "://") {
		value = "http://" + value
	}
	u, err := url.Parse(value)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("the lock's value %q is neither an URL nor host:port", value)
	}
	target := strings.TrimSuffix(u.String(), "/") + "/" + path
	if query != "" {
		target += "?" + query
	}
	return target, nil
}
