package xdp

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// The longest MTU is what a frame has room for in generic mode, and in native mode what a veth takes for a program that
// does not do multi-buffer.
func TestTheLongestMTU(t *testing.T) {
	for _, c := range []struct {
		mode         Mode
		mtu          int
		kind         error
		refusalNames string
	}{
		{ModeGeneric, 3826, nil, "multi-buffer"},
		{ModeNative, 3506, ErrMode, "multi-buffer"},
	} {
		t.Run(c.mode.String(), func(t *testing.T) {
			a, b := newPair(t)
			for _, h := range []*host{a, b} {
				must(t, h.handle.LinkSetMTU(h.link, c.mtu))
			}
			ea, eb := a.open(Config{Mode: c.mode}), b.open(Config{Mode: c.mode})
			meet(t, ea, eb)
			if ea.MaxPayload() != c.mtu-28 {
				t.Fatalf("MaxPayload %d", ea.MaxPayload())
			}
			payload := bytes.Repeat([]byte("jumbo"), c.mtu)[:ea.MaxPayload()]
			for range 100 {
				send(t, ea, eb.Local(), payload)
				if got := receive(t, eb, 1); !bytes.Equal(got[0].Payload, payload) {
					t.Fatalf("%d bytes came, %d were sent, or they differ", len(got[0].Payload), len(payload))
				}
			}
			audit(t, ea)
			audit(t, eb)
			must(t, ea.Close())
			must(t, eb.Close())
			for _, h := range []*host{a, b} {
				must(t, h.handle.LinkSetMTU(h.link, c.mtu+1))
			}
			_, err := a.tryOpen(Config{Mode: c.mode})
			refuses(t, err, c.kind, c.refusalNames)
		})
	}
}

func TestPacketInSeveralFramesIsRefusedByName(t *testing.T) {
	a, b := newPair(t)
	ea, eb := a.open(Config{}), b.open(Config{})
	meet(t, ea, eb)
	send(t, ea, eb.Local(), []byte("the first part"))
	rx := &eb.socket.rx
	eventually(t, "the datagram", func() bool { return rx.waiting() == 1 })
	rx.entries[rx.next&rx.mask].Options = 1 // XDP_PKT_CONTD
	if eb.Receive(1) != 0 || !errors.Is(eb.Err(), errSeveral) {
		t.Errorf("%v", eb.Err())
	}
}

func TestTxBudget(t *testing.T) {
	a, b := newPair(t)
	ea, eb := a.open(Config{TxBudget: 64}), b.open(Config{})
	meet(t, ea, eb)
	const batch = 128
	ea.Reclaim(batch)
	for range batch {
		frame, _ := ea.Take()
		ea.Send(frame, 1, eb.Local())
	}
	before := ea.Stats().Kicks
	ea.Flush()
	want, note := uint64(2), "64 frames a call"
	if ea.budget == standardBudget {
		want, note = 4, "no XDP_MAX_TX_SKB_BUDGET"
	}
	if kicks := ea.Stats().Kicks - before; kicks != want {
		t.Errorf("%d system calls for %d frames, want %d", kicks, batch, want)
	}
	if !strings.Contains(ea.Describe(), note) {
		t.Error(ea.Describe())
	}
	receive(t, eb, batch)
}

func TestTxBudgetIsSkippedByNameOnAKernelWithout(t *testing.T) {
	option := txBudgetOption
	defer func() { txBudgetOption = option }()
	txBudgetOption = 9999
	a, _ := newPair(t)
	e := a.open(Config{TxBudget: 64})
	if !strings.Contains(e.Describe(), "32 frames a call (this kernel has no XDP_MAX_TX_SKB_BUDGET)") {
		t.Error(e.Describe())
	}
}
