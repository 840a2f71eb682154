package tuning

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// fakeDriver is one interface, eth0, as the kernel's structures show it. A nil part is one that the driver does not have.
type fakeDriver struct {
	ring, coalesce, channels, pause, eee []uint32 // without the command
	features                             []fakeFeature
	refuse                               map[uint32]error // by command
	deaf                                 bool             // takes everything and changes nothing
}

type fakeFeature struct {
	name                     string
	available, active, never bool
}

func (d *fakeDriver) ask(name string, b []byte) error {
	command := word(b, 0)
	if name != "eth0" {
		return syscall.ENODEV
	}
	if err := d.refuse[command]; err != nil {
		return err
	}
	switch command {
	case unix.ETHTOOL_GRINGPARAM, unix.ETHTOOL_SRINGPARAM:
		return d.exchange(d.ring, b, command == unix.ETHTOOL_SRINGPARAM)
	case unix.ETHTOOL_GCOALESCE, unix.ETHTOOL_SCOALESCE:
		return d.exchange(d.coalesce, b, command == unix.ETHTOOL_SCOALESCE)
	case unix.ETHTOOL_GCHANNELS, unix.ETHTOOL_SCHANNELS:
		return d.exchange(d.channels, b, command == unix.ETHTOOL_SCHANNELS)
	case unix.ETHTOOL_GPAUSEPARAM, unix.ETHTOOL_SPAUSEPARAM:
		return d.exchange(d.pause, b, command == unix.ETHTOOL_SPAUSEPARAM)
	case unix.ETHTOOL_GEEE, unix.ETHTOOL_SEEE:
		return d.exchange(d.eee, b, command == unix.ETHTOOL_SEEE)
	case unix.ETHTOOL_GSSET_INFO:
		if order.Uint64(b[8:]) != 1<<4 {
			return syscall.EINVAL
		}
		putWord(b, 4, uint32(len(d.features)))
	case unix.ETHTOOL_GSTRINGS:
		for i, f := range d.features {
			copy(b[12+32*i:], f.name)
		}
	case unix.ETHTOOL_GFEATURES, unix.ETHTOOL_SFEATURES:
		return d.bits(b, command == unix.ETHTOOL_SFEATURES)
	default:
		return syscall.EOPNOTSUPP
	}
	return nil
}

func (d *fakeDriver) exchange(part []uint32, b []byte, set bool) error {
	if part == nil {
		return syscall.EOPNOTSUPP
	}
	if len(b) != 4*(1+len(part)) {
		return syscall.EFAULT
	}
	for i := range part {
		switch {
		case !set:
			putWord(b, 1+i, part[i])
		case !d.deaf:
			part[i] = word(b, 1+i)
		}
	}
	return nil
}

func (d *fakeDriver) bits(b []byte, set bool) error {
	if int(word(b, 1)) != (len(d.features)+31)/32 {
		return syscall.EINVAL
	}
	for i := range d.features {
		f := &d.features[i]
		if set {
			block := 2 + i/32*2
			if word(b, block)>>(i%32)&1 == 1 && f.available && !f.never && !d.deaf {
				f.active = word(b, block+1)>>(i%32)&1 == 1
			}
			continue
		}
		for j, on := range []bool{f.available, false, f.active, f.never} {
			if on {
				putWord(b, 2+i/32*4+j, word(b, 2+i/32*4+j)|1<<(i%32))
			}
		}
	}
	return nil
}

// newFakeDriver has everything, and nothing as it is wanted.
func newFakeDriver() *fakeDriver {
	d := &fakeDriver{
		ring:     []uint32{4096, 0, 0, 4096, 512, 0, 0, 512},
		coalesce: make([]uint32, 22),
		channels: []uint32{0, 0, 1, 8, 0, 0, 1, 8},
		pause:    []uint32{1, 1, 1},
		eee:      []uint32{8, 8, 8, 1, 1, 1, 17, 0, 0},
	}
	d.coalesce[0], d.coalesce[4], d.coalesce[9], d.coalesce[10] = 50, 50, 1, 1
	for i := range 40 { // two blocks of bits
		d.features = append(d.features, fakeFeature{name: "feature-" + string(rune('a'+i)), available: true})
	}
	for i, name := range map[int]string{2: "rx-lro", 33: "rx-gro-hw", 34: "rx-udp-gro-forwarding", 35: "rx-vlan-hw-parse"} {
		d.features[i] = fakeFeature{name: name, available: true, active: true}
	}
	d.features[36] = fakeFeature{name: "rx-ntuple-filter", available: true}
	return d
}

func TestEthtoolSettingsAreWrittenAndReadBack(t *testing.T) {
	d := newFakeDriver()
	e := Ethtool{Ask: d.ask}
	for setting, c := range map[string]struct{ was, is string }{
		"rx-ring": {"512", "1024"}, "tx-ring": {"512", "2048"}, "rx-usecs": {"50", "0"}, "tx-usecs": {"50", "8"},
		"adaptive-rx": {"on", "off"}, "adaptive-tx": {"on", "off"}, "combined": {"8", "2"}, "pause-autoneg": {"on", "off"},
		"pause-rx": {"on", "off"}, "pause-tx": {"on", "off"}, "eee": {"on", "off"}, "feature/rx-lro": {"on", "off"},
		"feature/rx-gro-hw": {"on", "off"}, "feature/rx-ntuple-filter": {"off", "on"},
	} {
		name := "eth0/" + setting
		if now, err := e.Read(name); err != nil || now != c.was {
			t.Errorf("%s is %q (%v), want %q", name, now, err, c.was)
		}
		if err := e.Write(name, c.is); err != nil {
			t.Error(err)
		}
		if now, err := e.Read(name); err != nil || now != c.is {
			t.Errorf("%s is %q (%v), want %q", name, now, err, c.is)
		}
	}
	if d.ring[0] != 4096 || d.channels[2] != 1 || d.eee[1] != 8 || d.eee[6] != 17 {
		t.Errorf("what stands beside a setting has changed: ring %v, channels %v, eee %v", d.ring, d.channels, d.eee)
	}
}

func TestEthtoolErrorsKeepTheKernelsNumber(t *testing.T) {
	d := newFakeDriver()
	d.eee = nil
	d.features[2].never = true
	d.refuse = map[uint32]error{unix.ETHTOOL_SRINGPARAM: syscall.EINVAL, unix.ETHTOOL_SCOALESCE: syscall.EPERM}
	e := Ethtool{Ask: d.ask}
	read := func(name string) error { _, err := e.Read(name); return err }
	for what, c := range map[string]struct{ err, want error }{
		"a driver without it":   {read("eth0/eee"), errors.ErrUnsupported},
		"a setting of no name":  {read("eth0/speed"), errors.ErrUnsupported},
		"an unknown feature":    {read("eth0/feature/rx-all"), errors.ErrUnsupported},
		"no interface":          {read("eth1/rx-ring"), syscall.ENODEV},
		"no name":               {read("/rx-ring"), errors.ErrUnsupported},
		"beyond the maximum":    {e.Write("eth0/rx-ring", "9999"), syscall.EINVAL},
		"not root":              {e.Write("eth0/rx-usecs", "0"), fs.ErrPermission},
		"only told":             {e.Write("eth0/rx-ring-max", "1"), errors.ErrUnsupported},
		"not a number":          {e.Write("eth0/combined", "many"), syscall.EINVAL},
		"neither on nor off":    {e.Write("eth0/pause-rx", "1"), syscall.EINVAL},
		"a feature not so":      {e.Write("eth0/feature/rx-lro", "maybe"), syscall.EINVAL},
		"a feature that stands": {e.Write("eth0/feature/rx-lro", "off"), syscall.EIO},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%s: %v, want %v", what, c.err, c.want)
		}
	}
	if now, err := e.Read("eth0/feature/rx-lro"); err != nil || now != "on"+featureFixed {
		t.Errorf("a fixed feature reads %q (%v)", now, err)
	}
}

func TestADriverThatOnlyPretendsIsAnError(t *testing.T) {
	d := newFakeDriver()
	d.deaf = true
	err := Ethtool{Ask: d.ask}.Write("eth0/rx-usecs", "0")
	if err == nil || !strings.Contains(err.Error(), "left it at 50") {
		t.Errorf("%v", err)
	}
}

// TestEthtoolFieldsLieWithinTheirStructures: a word outside would be a word of something else.
func TestEthtoolFieldsLieWithinTheirStructures(t *testing.T) {
	sizes := map[uint32]int{unix.ETHTOOL_GRINGPARAM: 9, unix.ETHTOOL_GCOALESCE: 23, unix.ETHTOOL_GCHANNELS: 9,
		unix.ETHTOOL_GPAUSEPARAM: 4, unix.ETHTOOL_GEEE: 10}
	var seen []uint64
	for name, f := range ethtoolFields {
		if f.words != sizes[f.get] || f.at < 1 || f.at >= f.words || f.set != 0 && f.set != f.get+1 {
			t.Errorf("%s: %+v", name, f)
		}
		if id := uint64(f.get)<<8 | uint64(f.at); slices.Contains(seen, id) {
			t.Errorf("%s is a word that another has", name)
		} else {
			seen = append(seen, id)
		}
	}
}
