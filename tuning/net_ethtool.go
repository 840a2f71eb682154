package tuning

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"lockstep/xdp/nic"
)

// KindEthtool is the kind of settings of an interface's driver. Their names are INTERFACE/SETTING, where SETTING is one of
// ethtoolFields, or feature/ and the name that `ethtool -k` has for it.
const KindEthtool = "ethtool"

// featureFixed stands behind the value of a feature that the driver never changes, as `ethtool -k` prints it.
const featureFixed = " [fixed]"

// Ethtool is the backend of KindEthtool. Ask hands one of the kernel's structures to the driver of an interface, which
// answers in place.
type Ethtool struct {
	Ask func(name string, command []byte) error
}

// NewEthtool asks the kernel, in the network namespace of the calling thread.
func NewEthtool() Ethtool { return Ethtool{Ask: nic.Ask} }

// field is one word of a structure that the kernel gives and takes whole.
type field struct {
	get, set uint32 // set is 0 of what is only told
	words    int
	at       int
	onOff    bool
}

var ethtoolFields = map[string]field{
	"rx-ring":       {get: unix.ETHTOOL_GRINGPARAM, set: unix.ETHTOOL_SRINGPARAM, words: 9, at: 5},
	"tx-ring":       {get: unix.ETHTOOL_GRINGPARAM, set: unix.ETHTOOL_SRINGPARAM, words: 9, at: 8},
	"rx-ring-max":   {get: unix.ETHTOOL_GRINGPARAM, words: 9, at: 1},
	"tx-ring-max":   {get: unix.ETHTOOL_GRINGPARAM, words: 9, at: 4},
	"rx-usecs":      {get: unix.ETHTOOL_GCOALESCE, set: unix.ETHTOOL_SCOALESCE, words: 23, at: 1},
	"rx-frames":     {get: unix.ETHTOOL_GCOALESCE, words: 23, at: 2},
	"tx-usecs":      {get: unix.ETHTOOL_GCOALESCE, set: unix.ETHTOOL_SCOALESCE, words: 23, at: 5},
	"adaptive-rx":   {get: unix.ETHTOOL_GCOALESCE, set: unix.ETHTOOL_SCOALESCE, words: 23, at: 10, onOff: true},
	"adaptive-tx":   {get: unix.ETHTOOL_GCOALESCE, set: unix.ETHTOOL_SCOALESCE, words: 23, at: 11, onOff: true},
	"max-rx":        {get: unix.ETHTOOL_GCHANNELS, words: 9, at: 1},
	"max-combined":  {get: unix.ETHTOOL_GCHANNELS, words: 9, at: 4},
	"rx":            {get: unix.ETHTOOL_GCHANNELS, set: unix.ETHTOOL_SCHANNELS, words: 9, at: 5},
	"combined":      {get: unix.ETHTOOL_GCHANNELS, set: unix.ETHTOOL_SCHANNELS, words: 9, at: 8},
	"pause-autoneg": {get: unix.ETHTOOL_GPAUSEPARAM, set: unix.ETHTOOL_SPAUSEPARAM, words: 4, at: 1, onOff: true},
	"pause-rx":      {get: unix.ETHTOOL_GPAUSEPARAM, set: unix.ETHTOOL_SPAUSEPARAM, words: 4, at: 2, onOff: true},
	"pause-tx":      {get: unix.ETHTOOL_GPAUSEPARAM, set: unix.ETHTOOL_SPAUSEPARAM, words: 4, at: 3, onOff: true},
	"eee-supported": {get: unix.ETHTOOL_GEEE, words: 10, at: 1},
	"eee":           {get: unix.ETHTOOL_GEEE, set: unix.ETHTOOL_SEEE, words: 10, at: 5, onOff: true},
}

var order = binary.NativeEndian

func words(w ...uint32) []byte {
	b := make([]byte, 0, 4*len(w))
	for _, v := range w {
		b = order.AppendUint32(b, v)
	}
	return b
}

func word(b []byte, i int) uint32 { return order.Uint32(b[4*i:]) }

func putWord(b []byte, i int, v uint32) { order.PutUint32(b[4*i:], v) }

// Read is the value as decimal digits, or on and off.
func (e Ethtool) Read(name string) (string, error) {
	device, setting, f, err := parseEthtool(name)
	if err != nil {
		return "", err
	}
	if feature, is := strings.CutPrefix(setting, "feature/"); is {
		return e.feature(device, feature)
	}
	b := make([]byte, 4*f.words)
	putWord(b, 0, f.get)
	if err := e.Ask(device, b); err != nil {
		return "", fmt.Errorf("ethtool %s: %w", name, err)
	}
	return f.text(word(b, f.at)), nil
}

// Write reads the structure, changes one word, gives it back, and looks whether the driver has taken it.
func (e Ethtool) Write(name, value string) error {
	device, setting, f, err := parseEthtool(name)
	if err != nil {
		return err
	}
	if feature, is := strings.CutPrefix(setting, "feature/"); is {
		err = e.setFeature(device, feature, value)
	} else {
		err = e.setField(device, f, value)
	}
	if err != nil {
		return fmt.Errorf("ethtool %s = %s: %w", name, value, err)
	}
	now, err := e.Read(name)
	if err != nil {
		return err
	}
	if now != value {
		return fmt.Errorf("ethtool %s = %s: the driver left it at %s: %w", name, value, now, syscall.EIO)
	}
	return nil
}

func parseEthtool(name string) (device, setting string, f field, err error) {
	device, setting, _ = strings.Cut(name, "/")
	f, known := ethtoolFields[setting]
	if device == "" || len(device) >= unix.IFNAMSIZ || !known && !strings.HasPrefix(setting, "feature/") {
		return "", "", f, fmt.Errorf("ethtool setting %q: want INTERFACE/SETTING: %w", name, errors.ErrUnsupported)
	}
	return device, setting, f, nil
}

func (f field) text(v uint32) string {
	switch {
	case !f.onOff:
		return strconv.FormatUint(uint64(v), 10)
	case v == 0:
		return "off"
	}
	return "on"
}

func (f field) value(text string) (uint32, error) {
	switch {
	case f.onOff && text == "off":
		return 0, nil
	case f.onOff && text == "on":
		return 1, nil
	case f.onOff:
		return 0, fmt.Errorf("%q: want on or off: %w", text, syscall.EINVAL)
	}
	v, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("%q is no number: %w", text, syscall.EINVAL)
	}
	return uint32(v), nil
}

func (e Ethtool) setField(device string, f field, text string) error {
	v, err := f.value(text)
	if err != nil {
		return err
	}
	if f.set == 0 {
		return errors.ErrUnsupported
	}
	b := make([]byte, 4*f.words)
	putWord(b, 0, f.get)
	if err := e.Ask(device, b); err != nil {
		return err
	}
	putWord(b, 0, f.set)
	putWord(b, f.at, v)
	return e.Ask(device, b)
}

// The set of strings that names features, and how long each of them is.
const (
	stringsOfFeatures = 4 // ETH_SS_FEATURES
	stringBytes       = 32
	maxFeatures       = 1024
)

// index is where a feature is in the driver's bit sets, and how many there are.
func (e Ethtool) index(device, feature string) (at, count int, err error) {
	b := words(unix.ETHTOOL_GSSET_INFO, 0, 0, 0, 0)
	order.PutUint64(b[8:], 1<<stringsOfFeatures)
	if err := e.Ask(device, b); err != nil {
		return 0, 0, err
	}
	if count = int(word(b, 4)); count == 0 || count > maxFeatures {
		return 0, 0, fmt.Errorf("%d features: %w", count, errors.ErrUnsupported)
	}
	names := append(words(unix.ETHTOOL_GSTRINGS, stringsOfFeatures, uint32(count)), make([]byte, count*stringBytes)...)
	if err := e.Ask(device, names); err != nil {
		return 0, 0, err
	}
	for at = range count {
		if unix.ByteSliceToString(names[12+at*stringBytes:][:stringBytes]) == feature {
			return at, count, nil
		}
	}
	return 0, 0, fmt.Errorf("feature %s: %w", feature, errors.ErrUnsupported)
}

func (e Ethtool) feature(device, feature string) (string, error) {
	at, count, err := e.index(device, feature)
	if err != nil {
		return "", fmt.Errorf("ethtool -k %s: %w", device, err)
	}
	blocks := (count + 31) / 32
	b := append(words(unix.ETHTOOL_GFEATURES, uint32(blocks)), make([]byte, blocks*16)...)
	if err := e.Ask(device, b); err != nil {
		return "", fmt.Errorf("ethtool -k %s: %w", device, err)
	}
	bit := func(set int) bool { return word(b, 2+at/32*4+set)>>(at%32)&1 == 1 }
	const available, active, never = 0, 2, 3
	text := "off"
	if bit(active) {
		text = "on"
	}
	if !bit(available) || bit(never) {
		text += featureFixed
	}
	return text, nil
}

func (e Ethtool) setFeature(device, feature, text string) error {
	v, err := field{onOff: true}.value(text)
	if err != nil {
		return err
	}
	at, count, err := e.index(device, feature)
	if err != nil {
		return err
	}
	blocks := (count + 31) / 32
	b := append(words(unix.ETHTOOL_SFEATURES, uint32(blocks)), make([]byte, blocks*8)...)
	putWord(b, 2+at/32*2, 1<<(at%32))
	putWord(b, 2+at/32*2+1, v<<(at%32))
	return e.Ask(device, b)
}
