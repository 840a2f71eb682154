package nic

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// FileName is the file that a Keeper keeps in its directory while changes are in force.
const FileName = "nic.json"

// Interface is whose settings are changed.
type Interface struct {
	Name   string
	Index  int
	MAC    string // as net.HardwareAddr prints it
	Driver string // its name, for messages
}

// kind is what a change was.
type kind string

const (
	kindRule        kind = "rule"        // Value: where it is
	kindFlags       kind = "flags"       // Value: as they were
	kindIndirection kind = "indirection" // Table: as it was
	kindChannels    kind = "channels"    // Channels: as they were
	kindFile        kind = "file"        // Name: in sysfs; Text: as it was
)

// change is one setting as it was.
type change struct {
	Kind     kind
	Value    uint32    `json:",omitempty"`
	Table    []uint32  `json:",omitempty"`
	Channels *Channels `json:",omitempty"`
	Name     string    `json:",omitempty"`
	Text     string    `json:",omitempty"`
}

// record is the file.
type record struct {
	Boot      string // of the kernel that has the changes
	Interface Interface
	Changes   []change // oldest first
}

// Keeper has the changes that are in force.
type Keeper struct {
	path   string
	record record
	driver Driver
	sysfs  string // folder of the interface
	fd     int    // a socket for ioctls, in the interface's namespace
	files  map[string]*os.File
}

// Options say where things are; the zero value but for Dir is production.
type Options struct {
	// Dir is where FileName is kept: a directory that outlives the process.
	Dir string
	// Driver takes the place of the kernel's ioctls in tests.
	Driver Driver
	// Sysfs is the root of /sys.
	Sysfs string
}

// Open takes back what a process that died has left changed on the interface, and is ready to change it.
func Open(of Interface, o Options) (*Keeper, error) {
	k := &Keeper{path: filepath.Join(o.Dir, FileName), driver: o.Driver, files: make(map[string]*os.File)}
	if o.Sysfs == "" {
		o.Sysfs = "/sys"
	}
	k.sysfs = filepath.Join(o.Sysfs, "class/net", of.Name)
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return nil, fmt.Errorf("nic: which boot this is: %w", err)
	}
	k.record = record{Boot: strings.TrimSpace(string(boot)), Interface: of}
	if k.fd, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return nil, fmt.Errorf("nic: open a socket for ethtool: %w", err)
	}
	if k.driver == nil {
		k.driver = func(command []byte) error { return ask(k.fd, of.Name, command) }
	}
	if err := k.takeOver(); err != nil {
		k.release()
		return nil, err
	}
	return k, nil
}

// takeOver takes back what the file says, if it speaks of this interface as it is now.
func (k *Keeper) takeOver() error {
	b, err := os.ReadFile(k.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("nic: settings that an earlier process changed: %w", err)
	}
	var left record
	if err := json.Unmarshal(b, &left); err != nil {
		return fmt.Errorf("nic: %s is damaged: settings of an interface may have stayed changed: look at them (`ethtool -n`, "+
			"`-x`, `-l`), then remove the file: %w", k.path, err)
	}
	if left.Boot == k.record.Boot && left.Interface.Name == k.record.Interface.Name &&
		left.Interface.Index == k.record.Interface.Index && left.Interface.MAC == k.record.Interface.MAC {
		k.record.Changes = left.Changes
	}
	return k.revert()
}

// note writes down how something was, before it is changed.
func (k *Keeper) note(c change) error {
	k.record.Changes = append(k.record.Changes, c)
	if err := k.save(); err != nil {
		k.record.Changes = k.record.Changes[:len(k.record.Changes)-1]
		return err
	}
	return nil
}

// save writes the file, whole or not at all, or removes it when nothing is changed.
func (k *Keeper) save() error {
	if len(k.record.Changes) == 0 {
		if err := os.Remove(k.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("nic: %w", err)
		}
		return nil
	}
	b, err := json.MarshalIndent(&k.record, "", "  ")
	if err != nil {
		return fmt.Errorf("nic: %w", err)
	}
	temporary := k.path + ".new"
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return fmt.Errorf("nic: write down the settings of %s before they are changed: %w", k.record.Interface.Name, err)
	}
	_, err = f.Write(append(b, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(temporary, k.path)
	}
	if err != nil {
		return fmt.Errorf("nic: write down the settings of %s before they are changed: %w", k.record.Interface.Name, err)
	}
	return nil
}

// revert takes all changes back, the last first. Those that cannot be stay in the file.
func (k *Keeper) revert() error {
	var stay []change
	var failed []error
	for _, c := range slices.Backward(k.record.Changes) {
		if err := k.undo(&c); err != nil {
			stay = append(stay, c)
			failed = append(failed, fmt.Errorf("nic: put %s of %s back as it was: %w", c.Kind, k.record.Interface.Name, err))
		}
	}
	slices.Reverse(stay)
	k.record.Changes = stay
	return errors.Join(append(failed, k.save())...)
}

func (k *Keeper) undo(c *change) error {
	switch c.Kind {
	case kindRule:
		err := k.driver.deleteRule(c.Value)
		if errors.Is(err, unix.ENOENT) { // noted, and then not made
			return nil
		}
		return err
	case kindFlags:
		return k.driver.setFlags(c.Value)
	case kindIndirection:
		return k.driver.setIndirection(c.Table)
	case kindChannels:
		return k.driver.setChannels(*c.Channels)
	case kindFile:
		return k.write(c.Name, c.Text)
	}
	return fmt.Errorf("unknown change %q", c.Kind)
}

// forget takes the last note back: what it was about did not come to pass.
func (k *Keeper) forget() error {
	k.record.Changes = k.record.Changes[:len(k.record.Changes)-1]
	return k.save()
}

// Close takes every change back.
func (k *Keeper) Close() error {
	err := k.revert()
	k.release()
	return err
}

func (k *Keeper) release() {
	for _, f := range k.files {
		f.Close()
	}
	if k.fd >= 0 {
		unix.Close(k.fd)
		k.fd = -1
	}
}
