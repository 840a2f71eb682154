package nic

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrBusyPoll is wrapped by the error of an interface whose interrupts cannot be held back.
var ErrBusyPoll = errors.New("busy polling is not to be had")

// The files of an interface that hold interrupts back for a thread that polls.
const (
	deferFile = "napi_defer_hard_irqs" // polls in a row that may find nothing before interrupts are on again
	flushFile = "gro_flush_timeout"    // nanoseconds without a poll after which they are
)

// Values for busy polling: interrupts come back if nobody has polled for 200 us.
const (
	deferPolls = "2"
	flushNs    = "200000"
)

// BusyPoll has the interface leave its driver to whoever polls.
func (k *Keeper) BusyPoll() error {
	if err := k.ours(); err != nil {
		return err
	}
	for _, f := range []struct{ name, value string }{{deferFile, deferPolls}, {flushFile, flushNs}} {
		if err := k.set(f.name, f.value); err != nil {
			return fmt.Errorf("nic: %w: set %s of %s to %s: %w (`echo %s > /sys/class/net/%s/%s`)", ErrBusyPoll,
				f.name, k.record.Interface.Name, f.value, err, f.value, k.record.Interface.Name, f.name)
		}
	}
	return nil
}

// ours checks that /sys shows this interface and not one of another network namespace that has the same name.
func (k *Keeper) ours() error {
	index, err := os.ReadFile(filepath.Join(k.sysfs, "ifindex"))
	if err != nil {
		return fmt.Errorf("nic: %w: %w", ErrBusyPoll, err)
	}
	mac, err := os.ReadFile(filepath.Join(k.sysfs, "address"))
	if err != nil {
		return fmt.Errorf("nic: %w: %w", ErrBusyPoll, err)
	}
	of := &k.record.Interface
	if strings.TrimSpace(string(index)) != fmt.Sprint(of.Index) || strings.TrimSpace(string(mac)) != of.MAC {
		return fmt.Errorf("nic: %w: %s is not the interface %s of this network namespace: mount a sysfs of this namespace on "+
			"/sys, or leave busy polling off", ErrBusyPoll, k.sysfs, of.Name)
	}
	return nil
}

func (k *Keeper) set(name, value string) error {
	was, err := k.read(name)
	if err != nil {
		return err
	}
	if was == value {
		return nil
	}
	if err := k.note(change{Kind: kindFile, Name: name, Text: was}); err != nil {
		return err
	}
	if err := k.write(name, value); err != nil {
		return errors.Join(err, k.forget())
	}
	return nil
}

// file opens a file of the interface once: it stays that of the interface, on whichever thread.
func (k *Keeper) file(name string) (*os.File, error) {
	if f := k.files[name]; f != nil {
		return f, nil
	}
	if name != deferFile && name != flushFile {
		return nil, fmt.Errorf("%q is no setting of ours", name)
	}
	f, err := os.OpenFile(filepath.Join(k.sysfs, name), os.O_RDWR, 0)
	if err == nil {
		k.files[name] = f
	}
	return f, err
}

func (k *Keeper) read(name string) (string, error) {
	f, err := k.file(name)
	if err != nil {
		return "", err
	}
	var b [64]byte
	n, err := unix.Pread(int(f.Fd()), b[:], 0)
	return strings.TrimSpace(string(b[:max(n, 0)])), err
}

func (k *Keeper) write(name, value string) error {
	if len(k.files) == 0 {
		if err := k.ours(); err != nil {
			return err
		}
	}
	f, err := k.file(name)
	if err != nil {
		return err
	}
	_, err = unix.Pwrite(int(f.Fd()), []byte(value+"\n"), 0)
	return err
}
