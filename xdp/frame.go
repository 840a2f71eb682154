package xdp

import (
	"encoding/binary"
	"fmt"
)

// Sizes of what stands before a payload, and where things lie in a frame.
const (
	ethernetBytes = 14
	ipv4Bytes     = 20
	udpBytes      = 8
	headerBytes   = ethernetBytes + ipv4Bytes + udpBytes
	// payloadAt is where a transmit frame's payload starts: on a cache line. The headers end there.
	payloadAt = 64
	headerAt  = payloadAt - headerBytes
	// rxHeadroom is what the kernel keeps free before a received frame.
	rxHeadroom = 256
)

const (
	etherTypeIPv4 = 0x0800
	protocolUDP   = 17
	unicastTTL    = 64
	dontFragment  = 0x4000
)

// Addr is an IPv4 UDP end point, comparable and without pointers.
type Addr struct {
	IP   [4]byte
	Port uint16
}

// isMulticast says whether the address is in 224.0.0.0/4.
func (a Addr) isMulticast() bool { return a.IP[0]&0xf0 == 0xe0 }

// Datagram is one that was received. Payload lies in umem and may be read until the Release that follows.
type Datagram struct {
	Payload  []byte
	From, To Addr
}

// headers are templates of everything before a payload, with the sum over the parts of the IPv4 header that stay.
type headers struct {
	unicast, multicast       [headerBytes]byte
	unicastSum, multicastSum uint32
}

func newHeaders(source [6]byte, local Addr, multicastTTL int) headers {
	var h headers
	h.unicast, h.unicastSum = template(source, local, unicastTTL)
	h.multicast, h.multicastSum = template(source, local, uint8(multicastTTL))
	return h
}

// template makes headers without destination, lengths and IPv4 checksum. The UDP checksum stays zero: there is none.
func template(source [6]byte, local Addr, ttl uint8) (b [headerBytes]byte, sum uint32) {
	copy(b[6:], source[:])
	binary.BigEndian.PutUint16(b[12:], etherTypeIPv4)
	ip := b[ethernetBytes:]
	ip[0] = 4<<4 | ipv4Bytes/4
	binary.BigEndian.PutUint16(ip[6:], dontFragment)
	ip[8] = ttl
	ip[9] = protocolUDP
	copy(ip[12:], local.IP[:])
	binary.BigEndian.PutUint16(ip[ipv4Bytes:], local.Port)
	return b, sumWords(ip[:ipv4Bytes])
}

// put writes the headers of a datagram of n bytes. b has headerBytes.
func (h *headers) put(b []byte, mac *[6]byte, to Addr, n int) {
	template, sum := &h.unicast, h.unicastSum
	if to.isMulticast() {
		template, sum = &h.multicast, h.multicastSum
	}
	b = b[:headerBytes]
	copy(b, template[:])
	copy(b, mac[:])
	ip := b[ethernetBytes:]
	binary.BigEndian.PutUint16(ip[2:], uint16(ipv4Bytes+udpBytes+n))
	copy(ip[16:], to.IP[:])
	sum += uint32(ipv4Bytes+udpBytes+n) +
		uint32(binary.BigEndian.Uint16(to.IP[:])) + uint32(binary.BigEndian.Uint16(to.IP[2:]))
	binary.BigEndian.PutUint16(ip[10:], ^fold(sum))
	udp := ip[ipv4Bytes:]
	binary.BigEndian.PutUint16(udp[2:], to.Port)
	binary.BigEndian.PutUint16(udp[4:], uint16(udpBytes+n))
}

// multicastMAC is the Ethernet address of a group: 01:00:5e and the low 23 bits.
func multicastMAC(ip [4]byte) [6]byte {
	return [6]byte{0x01, 0x00, 0x5e, ip[1] & 0x7f, ip[2], ip[3]}
}

// sumWords adds up the 16-bit words of an IPv4 header.
func sumWords(b []byte) (sum uint32) {
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	return sum
}

// fold makes a one's complement sum of 16 bits.
func fold(sum uint32) uint16 {
	sum = sum>>16 + sum&0xffff
	sum += sum >> 16
	return uint16(sum)
}

// Reject is why a frame that the XDP program took is not a datagram after all. None but RejectChecksum can come from
// the network while the program is ours.
type Reject uint8

// The reasons.
const (
	RejectNone     Reject = iota
	RejectShort           // no room for the headers
	RejectType            // not IPv4, not UDP, IP options
	RejectFragment        // a fragment
	RejectLength          // the IP or UDP length does not fit the frame, or the two differ
	RejectChecksum        // the IPv4 header is damaged
	NumRejects
)

var rejectNames = [NumRejects]string{"none", "short", "type", "fragment", "length", "checksum"}

// String is the reason's name in metrics.
func (r Reject) String() string {
	if r < NumRejects {
		return rejectNames[r]
	}
	return fmt.Sprintf("Reject(%d)", uint8(r))
}

// parse reads an Ethernet frame into d. What follows the IP datagram is padding and left out.
func parse(b []byte, d *Datagram) Reject {
	if len(b) < headerBytes {
		return RejectShort
	}
	ip := b[ethernetBytes:]
	if binary.BigEndian.Uint16(b[12:]) != etherTypeIPv4 || ip[0] != 4<<4|ipv4Bytes/4 || ip[9] != protocolUDP {
		return RejectType
	}
	if binary.BigEndian.Uint16(ip[6:])&0x3fff != 0 {
		return RejectFragment
	}
	total := int(binary.BigEndian.Uint16(ip[2:]))
	udp := ip[ipv4Bytes:]
	if total < ipv4Bytes+udpBytes || total > len(ip) || int(binary.BigEndian.Uint16(udp[4:])) != total-ipv4Bytes {
		return RejectLength
	}
	if fold(sumWords(ip[:ipv4Bytes])) != 0xffff {
		return RejectChecksum
	}
	d.Payload = ip[ipv4Bytes+udpBytes : total : total]
	d.From = Addr{IP: [4]byte(ip[12:16]), Port: binary.BigEndian.Uint16(udp)}
	d.To = Addr{IP: [4]byte(ip[16:20]), Port: binary.BigEndian.Uint16(udp[2:])}
	return RejectNone
}
