package client_test

import (
	"errors"
	"strings"
	"testing"

	"lockstep/client"
	"lockstep/transport"
)

func TestOptionsAreChecked(t *testing.T) {
	network := transport.NewMemory(transport.MemoryOptions{})
	join := func(n *transport.Network) transport.Transport {
		tr, err := n.Join(addrOf(101))
		if err != nil {
			t.Fatal(err)
		}
		return tr
	}
	good := client.Options{
		Cluster: 1, Nodes: []transport.Addr{addrOf(1)}, Name: "x", Transport: join(network), Seed: 1,
	}
	if _, err := client.New(good, &discard{}); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(o *client.Options){
		"a transport is needed": func(o *client.Options) { o.Transport = nil },
		"at least one node":     func(o *client.Options) { o.Nodes = nil },
		"printable UTF-8":       func(o *client.Options) { o.Name = "a\nb" },
		"at most 4096":          func(o *client.Options) { o.Window = 4097 },
		"random number":         func(o *client.Options) { o.Seed = 0 },
		"resend after":          func(o *client.Options) { o.ResendMaxNs = 1 },
		"time-outs":             func(o *client.Options) { o.SilenceNs = -1 },
		"unicast address":       func(o *client.Options) { o.Nodes = []transport.Addr{{IP: [4]byte{224, 0, 0, 1}, Port: 1}} },
		"is there twice":        func(o *client.Options) { o.Nodes = []transport.Addr{addrOf(1), addrOf(1)} },
		"larger MTU": func(o *client.Options) {
			o.Transport = join(transport.NewMemory(transport.MemoryOptions{MTU: 96}))
		},
	} {
		o := good
		change(&o)
		_, err := client.New(o, &discard{})
		if !errors.Is(err, client.ErrOptions) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
