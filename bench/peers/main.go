package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"
)

// system is one that is measured.
type system struct {
	name   string
	module string // whose version is the system's
	// node runs one member until ctx is done.
	node func(ctx context.Context, o *nodeOptions) error
	// dial opens a session with the leader; load is told of answers.
	dial func(ctx context.Context, o *loadOptions) (session, error)
	// describe says what makes a message durable, or that nothing does: the rows' fsync and sync.
	describe func(fsync bool) (fsyncs, sync string)
}

var systems = []system{
	{"dragonboat", "github.com/lni/dragonboat/v4", dragonboatNode, dialFrames, dragonboatSync},
	{"hashicorp-raft", "github.com/hashicorp/raft", hashicorpNode, dialFrames, hashicorpSync},
	{"hashicorp-raft-mem", "github.com/hashicorp/raft", hashicorpMemoryNode, dialFrames, hashicorpMemorySync},
	{"etcd", "go.etcd.io/etcd/server/v3", etcdNode, dialEtcd, etcdSync},
	{"nats", "github.com/nats-io/nats-server/v2", natsNode, dialNATS, natsSync},
}

// version is that of the system which this program was built with.
func (s *system) version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, m := range info.Deps {
		if m.Path == s.module {
			return m.Version
		}
	}
	return "unknown"
}

func systemNamed(name string) (*system, error) {
	var names []string
	for i := range systems {
		if systems[i].name == name {
			return &systems[i], nil
		}
		names = append(names, systems[i].name)
	}
	return nil, fmt.Errorf("%w: --system %q: want one of %s", errUsage, name, strings.Join(names, ", "))
}

// Ports of a member, counted from the one that its address has.
const (
	portPeers   = iota // members among one another
	portClients        // clients, and who asks who leads
	portsMember
)

// member is one of a cluster.
type member struct{ addr netip.AddrPort }

func (m member) at(port uint16) string {
	return netip.AddrPortFrom(m.addr.Addr(), m.addr.Port()+port).String()
}

func (m member) peers() string   { return m.at(portPeers) }
func (m member) clients() string { return m.at(portClients) }

// parseMembers reads ADDRESS,ADDRESS,...
func parseMembers(text string) (list []member, err error) {
	for s := range strings.SplitSeq(text, ",") {
		addr, err := netip.ParseAddrPort(s)
		if err != nil || addr.Port() == 0 || addr.Port() > 65535-portsMember {
			return nil, fmt.Errorf("%w: --members: %q is no address with a port: want 10.0.0.1:7400 and so on", errUsage, s)
		}
		list = append(list, member{addr})
	}
	return list, nil
}

// nodeOptions say what one member is.
type nodeOptions struct {
	members []member
	id      int // from 1
	dir     string
	fsync   bool // an answer waits until a majority has the message on disk
}

func (o *nodeOptions) self() member { return o.members[o.id-1] }

var errUsage = errors.New("usage")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "lockstep-peers:", err)
		if errors.Is(err, errUsage) {
			os.Exit(2)
		}
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	verb := ""
	if len(args) > 0 {
		verb = args[0]
	}
	switch verb {
	case "node":
		return runNode(ctx, args[1:])
	case "load":
		return runLoad(ctx, args[1:])
	case "systems":
		for _, s := range systems {
			fmt.Println(s.name)
		}
		return nil
	}
	return fmt.Errorf("%w: want node, load or systems, as `lockstep bench peers` starts them", errUsage)
}

func runNode(ctx context.Context, args []string) error {
	var o nodeOptions
	flags := flag.NewFlagSet("node", flag.ContinueOnError)
	name := flags.String("system", "", "whose member")
	members := flags.String("members", "", "address and port of every member, separated by commas; the port after it is taken as well")
	flags.IntVar(&o.id, "id", 0, "which of them, from 1")
	flags.StringVar(&o.dir, "dir", "", "directory, which is there")
	flags.BoolVar(&o.fsync, "fsync", false, "what is answered is on the disks of a majority")
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	s, err := systemNamed(*name)
	if err != nil {
		return err
	}
	if o.members, err = parseMembers(*members); err != nil {
		return err
	}
	if o.id < 1 || o.id > len(o.members) || o.dir == "" {
		return fmt.Errorf("%w: --id %d --dir %q: want 1 to %d, and a directory", errUsage, o.id, o.dir, len(o.members))
	}
	return s.node(ctx, &o)
}

// until tries something again and again for as long as a leader may take to be found.
func until(ctx context.Context, what string, try func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, leaderLimit)
	defer cancel()
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s, within %v: %w", what, leaderLimit, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// leaderLimit bounds the wait for a cluster that can be written to.
const leaderLimit = 30 * time.Second
