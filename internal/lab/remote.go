package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Remote is a lab that another process holds.
type Remote struct {
	runtime string
	client  *http.Client
}

// Attach finds the lab that is held at a runtime directory: ErrNoLab when there is none.
func Attach(runtime string) (*Remote, error) {
	socket := filepath.Join(runtime, socketName)
	r := &Remote{runtime: runtime, client: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		},
		DisableKeepAlives: true,
	}}}
	probe, err := net.DialTimeout("unix", socket, patience)
	switch {
	case err == nil:
		return r, probe.Close()
	case errors.Is(err, os.ErrNotExist):
		return nil, ErrNoLab
	case errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("%w: the last one was killed, and its nodes with it", ErrNoLab)
	}
	return nil, fmt.Errorf("lab: %w", err)
}

// State asks what the lab is.
func (r *Remote) State(ctx context.Context) (s State, err error) {
	return s, r.ask(ctx, http.MethodGet, "/state", &s)
}

// Status asks the lab's nodes how they are.
func (r *Remote) Status(ctx context.Context) (list []NodeStatus, err error) {
	return list, r.ask(ctx, http.MethodGet, "/status", &list)
}

// Do does something to a node: kill, stop, start, cut, heal. It returns when it is done.
func (r *Remote) Do(ctx context.Context, verb string, node int) error {
	return r.ask(ctx, http.MethodPost, fmt.Sprintf("/nodes/%d/%s", node, verb), nil)
}

// Down takes the lab down, and waits until its holder has ended.
func (r *Remote) Down(ctx context.Context) error {
	if err := r.ask(ctx, http.MethodPost, "/down", nil); err != nil {
		return err
	}
	for {
		lock, err := lockRuntime(r.runtime)
		if err == nil {
			return lock.Close()
		}
		if !errors.Is(err, ErrUp) {
			return err
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (r *Remote) ask(ctx context.Context, method, path string, into any) error {
	request, err := http.NewRequestWithContext(ctx, method, "http://lab"+path, nil)
	if err != nil {
		return err
	}
	response, err := r.client.Do(request)
	switch {
	case err == nil:
	case ctx.Err() != nil || errors.Is(err, os.ErrPermission):
		return fmt.Errorf("lab: the holder does not answer: %w", err)
	default: // a process that was killed closes its sockets a little after it can no longer be seen
		return fmt.Errorf("%w: its holder has just ended: %w", ErrNoLab, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("lab: the holder breaks off: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return decodeFailure(body, response.Status)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(body, into)
}

func decodeFailure(body []byte, status string) error {
	var f failure
	if err := json.Unmarshal(body, &f); err != nil {
		return fmt.Errorf("lab: the holder answers %s: %s", status, bytes.TrimSpace(body))
	}
	return f.err()
}

// err is the failure as an error of this process: it reads as it did in the holder.
func (f *failure) err() error {
	if f.Mended {
		return &mendable{f.Error}
	}
	return errors.New(f.Error)
}

// mendable is an ErrOptions that reads as the holder's error does.
type mendable struct{ text string }

func (m *mendable) Error() string        { return m.text }
func (m *mendable) Is(target error) bool { return target == ErrOptions }
