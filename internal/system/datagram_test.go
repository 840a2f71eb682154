package system

import (
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"testing"

	"lockstep/internal/lab"
	"lockstep/node"
	"lockstep/transport"
	"lockstep/wire"
)

// spoilerOptions say what a sender of bad datagrams sends, and where.
type spoilerOptions struct {
	To        transport.Addr
	Datagrams [][]byte
}

// runSpoiler is the process that sends them, from a kernel socket.
func runSpoiler(text string) error {
	var o spoilerOptions
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return err
	}
	conn, err := net.Dial("udp4", o.To.String())
	if err != nil {
		return err
	}
	defer conn.Close()
	for _, b := range o.Datagrams {
		if _, err := conn.Write(b); err != nil {
			return err
		}
	}
	return nil
}

// spoil sends datagrams to a node from client place i.
func (c *cluster) spoil(i, id int, datagrams ...[]byte) {
	c.t.Helper()
	text, err := json.Marshal(&spoilerOptions{To: c.node(id).Data, Datagrams: datagrams})
	c.do(err)
	exe, err := os.Executable()
	c.do(err)
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), envSpoiler+"="+string(text))
	if out, code := runCmd(c.t, func(cmd *exec.Cmd) error { return c.lab.StartClient(i, cmd) }, cmd); code != 0 {
		c.t.Fatalf("the sender of bad datagrams failed: %s", out)
	}
}

// sealed is a datagram whose check is good.
func sealed(h wire.Header, body int) []byte {
	b := make([]byte, wire.DatagramHeaderSize+body)
	wire.Seal(b, &h)
	return b
}

// badDatagrams are one of each sort, by the reason that status gives for dropping it.
func badDatagrams(cluster uint64) map[string][]byte {
	from := func(sender uint64) wire.Header {
		return wire.Header{Kind: wire.DatagramStatus, Cluster: cluster, Sender: sender, Incarnation: 1, Run: 1, Term: 1}
	}
	foreign := from(1)
	foreign.Cluster++
	client := wire.Header{Kind: wire.DatagramMessages, Cluster: cluster, Sender: 0xbad, Incarnation: 9}
	corrupt := sealed(from(1), wire.StatusSize)
	corrupt[len(corrupt)-1] ^= 1
	truncated := sealed(from(1), wire.StatusSize)
	other := sealed(from(1), wire.StatusSize)
	other[8] ^= 1 // behind the check, which is looked at last
	return map[string][]byte{
		"short":       {1, 2, 3},
		"magic":       other,
		"length":      truncated[:len(truncated)-8],
		"cluster":     sealed(foreign, wire.StatusSize),
		"crc":         corrupt,
		"sender":      sealed(from(6), wire.StatusSize),
		"incarnation": sealed(client, wire.MessagesHeaderSize),
		"body":        sealed(from(1), wire.StatusSize+8),
	}
}

// oversized is a good datagram that no frame holds: it arrives in pieces.
func oversized(cluster uint64) []byte {
	return sealed(wire.Header{Kind: wire.DatagramMessages, Cluster: cluster, Sender: 1}, 8000)
}

func TestN2N3ShouldDropAndCountBadDatagrams(t *testing.T) {
	needNamespaces(t)
	everyTransport(t, func(t *testing.T, o lab.Options) {
		o.Clients = 2
		c := up(t, o)
		f := c.start(0, flowOptions{Orders: true, Rate: 500})
		f.awaitAcked(50)
		const each = 20
		tooLong := "truncated"
		if o.Transport == "xdp" {
			tooLong = "fragment"
		}
		for _, id := range c.others(0) {
			before, ok := c.status(id)
			if !ok {
				t.Fatalf("node %d does not answer", id)
			}
			wanted := badDatagrams(c.lab.Cluster)
			if id == 1 { // its own number is not a stranger's
				delete(wanted, "body")
			}
			var all [][]byte
			for _, b := range wanted {
				for range each {
					all = append(all, b)
				}
			}
			all = append(all, oversized(c.lab.Cluster))
			wanted[tooLong] = nil
			c.spoil(1, id, all...)
			c.awaitStatus(id, "counts every bad datagram by its reason", func(s *node.Status) bool {
				for reason := range wanted {
					least := uint64(each)
					if reason == tooLong {
						least = 1
					}
					if s.Dropped[reason] < before.Dropped[reason]+least {
						return false
					}
				}
				return true
			})
		}
		f.awaitAcked(100)
		if s := f.now(); s.Connects != 1 {
			t.Logf("the client connected %d times: the leader changed meanwhile", s.Connects)
		}
		c.prove()
	})
}
