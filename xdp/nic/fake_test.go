package nic

import (
	"encoding/binary"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// fakeNIC is a driver: it reads the kernel's structures by offsets of its own, and keeps what it was told.
type fakeNIC struct {
	noRules, noHash, noChannels bool
	special                     bool // chooses where rules go
	slots                       uint32
	refuseRule                  int // the n-th insertion from here fails; 0: none

	ntuple bool
	rules  map[uint32]rule
	table  []uint32
	ch     Channels
	log    []string
}

type rule struct {
	to    netip.AddrPort
	queue uint64
}

func newFakeNIC() *fakeNIC {
	return &fakeNIC{slots: 8, rules: make(map[uint32]rule), table: []uint32{0, 1, 2, 3, 0, 1, 2, 3},
		ch: Channels{MaxCombined: 8, Combined: 4}}
}

func (n *fakeNIC) do(b []byte) error {
	u32 := func(at int) uint32 { return binary.NativeEndian.Uint32(b[at:]) }
	put := func(at int, v uint32) { binary.NativeEndian.PutUint32(b[at:], v) }
	const unsupported = syscall.EOPNOTSUPP
	switch u32(0) {
	case unix.ETHTOOL_GFLAGS, unix.ETHTOOL_SFLAGS, unix.ETHTOOL_GRXCLSRLCNT, unix.ETHTOOL_GRXCLSRLALL,
		unix.ETHTOOL_SRXCLSRLINS, unix.ETHTOOL_SRXCLSRLDEL:
		if n.noRules {
			return unsupported
		}
	}
	switch u32(0) {
	case unix.ETHTOOL_GFLAGS:
		put(4, 1<<15) // another flag, which must stay
		if n.ntuple {
			put(4, 1<<15|1<<27)
		}
	case unix.ETHTOOL_SFLAGS:
		if u32(4)&(1<<15) == 0 {
			return syscall.EINVAL
		}
		n.ntuple = u32(4)&(1<<27) != 0
		n.log = append(n.log, "flags")
	case unix.ETHTOOL_GRXCLSRLCNT:
		binary.NativeEndian.PutUint64(b[8:], 0)
		if n.special {
			binary.NativeEndian.PutUint64(b[8:], 1<<31)
		}
		put(184, uint32(len(n.rules)))
	case unix.ETHTOOL_GRXCLSRLALL:
		if u32(184) != uint32(len(n.rules)) || len(b) < 188+4*len(n.rules) {
			return syscall.EMSGSIZE
		}
		binary.NativeEndian.PutUint64(b[8:], uint64(n.slots))
		i := 0
		for at := range n.rules {
			put(188+4*i, at)
			i++
		}
	case unix.ETHTOOL_SRXCLSRLINS:
		return n.insert(b)
	case unix.ETHTOOL_SRXCLSRLDEL:
		at := u32(16 + 160)
		if _, there := n.rules[at]; !there {
			return syscall.ENOENT
		}
		delete(n.rules, at)
		n.log = append(n.log, "delete")
	default:
		return n.queues(b)
	}
	return nil
}

func (n *fakeNIC) insert(b []byte) error {
	flow := b[16:]
	at := binary.NativeEndian.Uint32(flow[160:])
	if n.special != (at == 0xffffffff) || !n.ntuple {
		return syscall.EINVAL
	}
	if n.refuseRule--; n.refuseRule == 0 {
		return syscall.ENOSPC
	}
	if n.special {
		at = 100 + uint32(len(n.rules))
		binary.NativeEndian.PutUint32(flow[160:], at)
	}
	if _, taken := n.rules[at]; taken || binary.NativeEndian.Uint32(flow) != 2 {
		return syscall.EEXIST
	}
	value, mask := flow[4:56], flow[76:128]
	for i, m := range mask {
		if want := (i >= 4 && i < 8) || i == 10 || i == 11; (m == 0xff) != want || m != 0 && m != 0xff {
			return syscall.EINVAL
		}
	}
	to := netip.AddrPortFrom(netip.AddrFrom4([4]byte(value[4:8])), binary.BigEndian.Uint16(value[10:]))
	n.rules[at] = rule{to, binary.NativeEndian.Uint64(flow[152:])}
	n.log = append(n.log, "insert")
	return nil
}

func (n *fakeNIC) queues(b []byte) error {
	u32 := func(at int) uint32 { return binary.NativeEndian.Uint32(b[at:]) }
	put := func(at int, v uint32) { binary.NativeEndian.PutUint32(b[at:], v) }
	switch command := u32(0); command {
	case unix.ETHTOOL_GRXFHINDIR, unix.ETHTOOL_SRXFHINDIR:
		if n.noHash {
			return syscall.EOPNOTSUPP
		}
		if u32(4) == 0 {
			put(4, uint32(len(n.table)))
			return nil
		}
		if int(u32(4)) != len(n.table) {
			return syscall.EINVAL
		}
		for i := range n.table {
			if command == unix.ETHTOOL_GRXFHINDIR {
				put(8+4*i, n.table[i])
			} else {
				n.table[i] = u32(8 + 4*i)
			}
		}
	case unix.ETHTOOL_GCHANNELS:
		for i, v := range []uint32{0, 0, 0, n.ch.MaxCombined, n.ch.Rx, n.ch.Tx, 0, n.ch.Combined} {
			put(4+4*i, v)
		}
	case unix.ETHTOOL_SCHANNELS:
		if n.noChannels {
			return syscall.EOPNOTSUPP
		}
		n.ch.Rx, n.ch.Tx, n.ch.Combined = u32(20), u32(24), u32(32)
	default:
		return syscall.EOPNOTSUPP
	}
	return nil
}
