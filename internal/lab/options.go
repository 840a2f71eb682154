package lab

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"lockstep/internal/testnet"
	"lockstep/wire"
)

// Options say what Up builds. Zero values take the defaults.
type Options struct {
	Nodes     int    // 1 to wire.MaxNodes; default 3
	Learners  int    // of the nodes, the last so many have no vote
	Clients   int    // namespaces for clients; default 1
	Transport string // "auto", "xdp", "udp"; default auto: xdp in namespaces where that is allowed, else udp on loopback
	XDPMode   string // "auto", "native", "generic", "zero-copy"; default auto
	Rule      string // "durable" or "replicated"; default durable
	Layout    string // "shared" or "dedicated"; default shared
	Idle      string // "auto", "spin", "yield", "park"; default auto
	MTU       int    // of the lab's links; default 1500
	Dir       string // where node directories are made; default: a new temporary directory, removed by Down
	Binary    string // the lockstep binary; default: this one
	Bare      bool   // the network only: no node is formatted or started
	Pair      bool   // one node and one client, joined by one veth pair without the bridge
	Override  string // TOML appended to every config file: for tests that need other time-outs
	Log       io.Writer
}

// ErrOptions marks an error that the user of the lab mends.
var ErrOptions = errors.New("lab")

func (o *Options) setDefaults() error {
	def := func(s *string, value string) {
		if *s == "" {
			*s = value
		}
	}
	def(&o.Transport, "auto")
	def(&o.XDPMode, "auto")
	def(&o.Rule, "durable")
	def(&o.Layout, "shared")
	def(&o.Idle, "auto")
	if o.Nodes == 0 {
		o.Nodes = 3
	}
	if o.Clients == 0 {
		o.Clients = 1
	}
	if o.MTU == 0 {
		o.MTU = 1500
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	if o.Nodes < 1 || o.Nodes > wire.MaxNodes || o.Clients < 1 || o.Clients > 100 {
		return fmt.Errorf("%w: %d nodes and %d clients: want 1 to %d nodes and 1 to 100 clients",
			ErrOptions, o.Nodes, o.Clients, wire.MaxNodes)
	}
	if o.Learners < 0 || o.Learners >= o.Nodes {
		return fmt.Errorf("%w: %d nodes, %d of them learners: somebody has to lead", ErrOptions, o.Nodes, o.Learners)
	}
	if o.Binary == "" {
		exe, err := os.Executable()
		if err != nil {
			return fmt.Errorf("lab: which binary to run: %w", err)
		}
		o.Binary = exe
	}
	return o.chooseTransport()
}

// chooseTransport turns "auto" into what this user can have, and says why.
func (o *Options) chooseTransport() error {
	missing := testnet.Available()
	switch {
	case o.Transport == "xdp" && missing != "":
		return fmt.Errorf("%w: transport xdp: %s", ErrOptions, missing)
	case o.Transport == "auto" && missing != "":
		fmt.Fprintf(o.Log, "AF_XDP is not to be had: %s; using kernel UDP on loopback instead\n", missing)
		o.Transport = "udp"
	case o.Transport == "auto":
		o.Transport = "xdp"
	}
	return nil
}

// makeDir makes the base directory; temporary says that Down removes it.
func (o *Options) makeDir() (temporary bool, err error) {
	if o.Dir != "" {
		if o.Dir, err = filepath.Abs(o.Dir); err != nil {
			return false, err
		}
		return false, os.MkdirAll(o.Dir, 0o755)
	}
	o.Dir, err = os.MkdirTemp("", "lockstep-lab-")
	return true, err
}
