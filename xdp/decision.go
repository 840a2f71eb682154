package xdp

import "fmt"

// Decision is what the XDP program did with a frame, and why. The order is that of enum decision in steer.bpf.c.
type Decision uint8

// The decisions. All but the first leave the frame to the kernel.
const (
	DecisionTaken    Decision = iota // given to our socket
	DecisionNoSocket                 // ours, but no socket serves the queue it came in on
	DecisionShort                    // no room for the headers
	DecisionNotIPv4                  // ARP, IPv6, ...
	DecisionNotUDP                   // TCP, ICMP, IGMP, ...
	DecisionHeader                   // IP version or header length is impossible
	DecisionOptions                  // IP options
	DecisionFragment                 // a fragment
	DecisionLength                   // the IP or UDP length does not fit the frame, or the two differ
	DecisionNotOurs                  // another address or port
	DecisionTagged                   // our address and port, but in a VLAN
	DecisionSource                   // ours, but from an address that no host can have
	NumDecisions
)

// decisionSlots is how many counters a CPU has: DECISION_SLOTS in steer.bpf.c.
const decisionSlots = 16

var decisionNames = [NumDecisions]string{
	"taken", "no_socket", "short", "not_ipv4", "not_udp", "header",
	"options", "fragment", "length", "not_ours", "tagged", "source",
}

// String is the decision's name in metrics.
func (d Decision) String() string {
	if d < NumDecisions {
		return decisionNames[d]
	}
	return fmt.Sprintf("Decision(%d)", uint8(d))
}
