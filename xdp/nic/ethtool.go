package nic

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// Driver takes ethtool commands for one interface, as the kernel's structures, and answers in place. It is what tests
// put in the place of the kernel.
type Driver func(command []byte) error

var order = binary.NativeEndian

// words makes a command of 32-bit words.
func words(w ...uint32) []byte {
	b := make([]byte, 0, 4*len(w))
	for _, v := range w {
		b = order.AppendUint32(b, v)
	}
	return b
}

func word(b []byte, i int) uint32 { return order.Uint32(b[4*i:]) }

// Channels is how many queues an interface has, and may have.
type Channels struct {
	MaxRx, MaxTx, MaxOther, MaxCombined uint32
	Rx, Tx, Other, Combined             uint32
}

// Receive is how many queues it receives on.
func (c *Channels) Receive() int { return int(c.Rx + c.Combined) }

func (d Driver) channels() (c Channels, err error) {
	b := words(unix.ETHTOOL_GCHANNELS, 0, 0, 0, 0, 0, 0, 0, 0)
	if err := d(b); err != nil {
		return c, err
	}
	for i, v := range []*uint32{&c.MaxRx, &c.MaxTx, &c.MaxOther, &c.MaxCombined, &c.Rx, &c.Tx, &c.Other, &c.Combined} {
		*v = word(b, 1+i)
	}
	return c, nil
}

func (d Driver) setChannels(c Channels) error {
	return d(words(unix.ETHTOOL_SCHANNELS, 0, 0, 0, 0, c.Rx, c.Tx, c.Other, c.Combined))
}

// flagNtuple is ETH_FLAG_NTUPLE: rules are in force.
const flagNtuple = 1 << 27

func (d Driver) flags() (uint32, error) {
	b := words(unix.ETHTOOL_GFLAGS, 0)
	err := d(b)
	return word(b, 1), err
}

func (d Driver) setFlags(flags uint32) error { return d(words(unix.ETHTOOL_SFLAGS, flags)) }

// indirection is the table from flow hashes to queues.
func (d Driver) indirection() ([]uint32, error) {
	b := words(unix.ETHTOOL_GRXFHINDIR, 0)
	if err := d(b); err != nil {
		return nil, err
	}
	n := word(b, 1)
	if n == 0 || n > 1<<16 {
		return nil, fmt.Errorf("a table of %d entries: %w", n, syscall.EOPNOTSUPP)
	}
	b = words(append([]uint32{unix.ETHTOOL_GRXFHINDIR, n}, make([]uint32, n)...)...)
	if err := d(b); err != nil {
		return nil, err
	}
	table := make([]uint32, n)
	for i := range table {
		table[i] = word(b, 2+i)
	}
	return table, nil
}

func (d Driver) setIndirection(table []uint32) error {
	return d(words(append([]uint32{unix.ETHTOOL_SRXFHINDIR, uint32(len(table))}, table...)...))
}

// struct ethtool_rxnfc, and in it struct ethtool_rx_flow_spec.
const (
	rxnfcBytes      = 192
	rxnfcData       = 8
	rxnfcFlow       = 16
	rxnfcCount      = 184
	rxnfcLocations  = 188
	flowDestination = 4 + 4  // destination address of h_u.udp_ip4_spec
	flowPort        = 4 + 10 // destination port
	flowMask        = 76     // m_u, as h_u: bits that must be as in h_u
	flowCookie      = 152    // ring_cookie: the queue
	flowLocation    = 160

	udp4            = 0x02       // UDP_V4_FLOW
	locationAny     = 0xffffffff // RX_CLS_LOC_ANY: the driver chooses
	locationSpecial = 0x80000000 // RX_CLS_LOC_SPECIAL: it wants to
	maxLocations    = 1 << 16
)

func rxnfc(command uint32, extra int) []byte {
	b := make([]byte, rxnfcBytes+extra)
	order.PutUint32(b, command)
	return b
}

// insertRule has the interface put what goes to an end point on a queue, and says where the rule is.
func (d Driver) insertRule(to netip.AddrPort, queue int, location uint32) (uint32, error) {
	b := rxnfc(unix.ETHTOOL_SRXCLSRLINS, 0)
	flow := b[rxnfcFlow:]
	order.PutUint32(flow, udp4)
	ip := to.Addr().As4()
	copy(flow[flowDestination:], ip[:])
	binary.BigEndian.PutUint16(flow[flowPort:], to.Port())
	copy(flow[flowMask-4+flowDestination:], []byte{255, 255, 255, 255})
	binary.BigEndian.PutUint16(flow[flowMask-4+flowPort:], 0xffff)
	order.PutUint64(flow[flowCookie:], uint64(queue))
	order.PutUint32(flow[flowLocation:], location)
	err := d(b)
	return order.Uint32(flow[flowLocation:]), err
}

func (d Driver) deleteRule(location uint32) error {
	b := rxnfc(unix.ETHTOOL_SRXCLSRLDEL, 0)
	order.PutUint32(b[rxnfcFlow+flowLocation:], location)
	return d(b)
}

// freeLocation is where a rule can go: as high as possible, since low ones win and may be somebody's, or wherever the
// driver likes.
func (d Driver) freeLocation() (uint32, error) {
	b := rxnfc(unix.ETHTOOL_GRXCLSRLCNT, 0)
	if err := d(b); err != nil {
		return 0, err
	}
	if order.Uint64(b[rxnfcData:])&locationSpecial != 0 {
		return locationAny, nil
	}
	n := order.Uint32(b[rxnfcCount:])
	if n > maxLocations {
		return 0, fmt.Errorf("%d rules: %w", n, syscall.EINVAL)
	}
	b = rxnfc(unix.ETHTOOL_GRXCLSRLALL, 4*int(n))
	order.PutUint32(b[rxnfcCount:], n)
	if err := d(b); err != nil {
		return 0, err
	}
	taken := make(map[uint32]bool, n)
	for i := range n {
		taken[order.Uint32(b[rxnfcLocations+4*i:])] = true
	}
	for at := order.Uint64(b[rxnfcData:]); at > 0; at-- {
		if !taken[uint32(at-1)] {
			return uint32(at - 1), nil
		}
	}
	return 0, errors.New("no room for another rule")
}
