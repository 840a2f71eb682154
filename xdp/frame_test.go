package xdp

import (
	"bytes"
	"encoding/binary"
	"net"
	"testing"
)

var (
	macA  = [6]byte{2, 0, 0, 0, 0, 1}
	macB  = [6]byte{2, 0, 0, 0, 0, 2}
	addrA = Addr{[4]byte{10, 9, 0, 1}, 7400}
	addrB = Addr{[4]byte{10, 9, 0, 2}, 7500}
	group = Addr{[4]byte{239, 77, 0, 1}, 7401}
)

// frameTo is a whole frame from A, as Send makes it.
func frameTo(to Addr, payload []byte) []byte {
	h := newHeaders(macA, addrA, 1)
	b := make([]byte, headerBytes+len(payload))
	mac := macB
	if to.isMulticast() {
		mac = multicastMAC(to.IP)
	}
	h.put(b, &mac, to, len(payload))
	copy(b[headerBytes:], payload)
	return b
}

// rechecksum makes the IPv4 checksum right again after a change.
func rechecksum(frame []byte) []byte {
	ip := frame[ethernetBytes:]
	ip[10], ip[11] = 0, 0
	binary.BigEndian.PutUint16(ip[10:], ^fold(sumWords(ip[:ipv4Bytes])))
	return frame
}

func TestHeadersAreWhatTheStandardsSay(t *testing.T) {
	for _, n := range []int{0, 1, 64, 1472} {
		for _, to := range []Addr{addrB, group, {[4]byte{255, 255, 255, 254}, 65535}} {
			b := frameTo(to, make([]byte, n))
			ip := b[14:]
			if got := fold(sumWords(ip[:20])); got != 0xffff {
				t.Errorf("to %v, %d bytes: IPv4 header sums to %#x", to, n, got)
			}
			if int(binary.BigEndian.Uint16(ip[2:])) != 28+n || int(binary.BigEndian.Uint16(ip[24:])) != 8+n {
				t.Errorf("to %v, %d bytes: lengths %d, %d", to, n, ip[2:4], ip[24:26])
			}
			if !bytes.Equal(ip[26:28], []byte{0, 0}) {
				t.Errorf("a UDP checksum %x", ip[26:28])
			}
		}
	}
	b := frameTo(group, nil)
	if want := (net.HardwareAddr{1, 0, 0x5e, 77, 0, 1}); !bytes.Equal(b[:6], want) {
		t.Errorf("group at %v, want %v", net.HardwareAddr(b[:6]), want)
	}
	if b[14+8] != 1 || frameTo(addrB, nil)[14+8] != unicastTTL {
		t.Error("wrong TTL")
	}
	if got := multicastMAC([4]byte{224 + 15, 255, 2, 3}); got != [6]byte{1, 0, 0x5e, 127, 2, 3} {
		t.Errorf("only 23 bits of a group are in its Ethernet address, got %x", got)
	}
}

func TestParseReturnsWhatWasSent(t *testing.T) {
	payload := []byte("the quick brown fox")
	frame := frameTo(addrB, payload)
	for _, padding := range []int{0, 1, 30} {
		var d Datagram
		if r := parse(append(append([]byte(nil), frame...), make([]byte, padding)...), &d); r != RejectNone {
			t.Fatalf("rejected: %s", r)
		}
		if !bytes.Equal(d.Payload, payload) || d.From != addrA || d.To != addrB {
			t.Errorf("with %d bytes of padding: %q from %v to %v", padding, d.Payload, d.From, d.To)
		}
		if cap(d.Payload) != len(payload) {
			t.Error("the payload can be appended to, over the padding")
		}
	}
}

func TestParseRejectsNearMisses(t *testing.T) {
	change := func(f func(b []byte)) []byte {
		b := frameTo(addrB, []byte("0123456789"))
		f(b)
		return b
	}
	for name, c := range map[string]struct {
		frame []byte
		want  Reject
	}{
		"empty":           {nil, RejectShort},
		"headers cut":     {frameTo(addrB, nil)[:41], RejectShort},
		"payload cut":     {frameTo(addrB, []byte("0123456789"))[:50], RejectLength},
		"ARP":             {change(func(b []byte) { b[13] = 6 }), RejectType},
		"TCP":             {change(func(b []byte) { b[23] = 6 }), RejectType},
		"options":         {change(func(b []byte) { b[14] = 0x46 }), RejectType},
		"IP version 6":    {change(func(b []byte) { b[14] = 0x65 }), RejectType},
		"more fragments":  {change(func(b []byte) { b[20] = 0x20 }), RejectFragment},
		"fragment offset": {change(func(b []byte) { b[21] = 1 }), RejectFragment},
		"IP length short": {rechecksum(change(func(b []byte) { b[17] = 27 })), RejectLength},
		"IP length long":  {rechecksum(change(func(b []byte) { b[17]++ })), RejectLength},
		"UDP length":      {change(func(b []byte) { b[39]-- }), RejectLength},
		"damaged address": {change(func(b []byte) { b[26] ^= 1 }), RejectChecksum},
	} {
		var d Datagram
		if got := parse(c.frame, &d); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(frameTo(addrB, []byte("payload")))
	f.Add(frameTo(group, nil))
	f.Add(append(frameTo(addrB, []byte{1}), make([]byte, 20)...))
	f.Add(frameTo(addrB, make([]byte, 100))[:60])
	f.Fuzz(func(t *testing.T, b []byte) {
		var d Datagram
		if parse(b, &d) != RejectNone {
			return
		}
		// What is accepted can be built again, up to the fields that we do not look at.
		again := append([]byte(nil), b[:headerBytes+len(d.Payload)]...)
		var second Datagram
		if r := parse(again, &second); r != RejectNone {
			t.Fatalf("without its padding: %s", r)
		}
		if !bytes.Equal(d.Payload, second.Payload) || d.From != second.From || d.To != second.To {
			t.Fatalf("%v is not %v", d, second)
		}
		if len(d.Payload) > len(b)-headerBytes {
			t.Fatal("payload longer than its frame")
		}
	})
}
