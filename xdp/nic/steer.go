package nic

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Steering is how flows are brought to one queue.
type Steering uint8

// The ways.
const (
	// SteerOff: not at all; an interface with several queues cannot be used.
	SteerOff Steering = iota
	// SteerManual: whoever runs the host has seen to it.
	SteerManual
	// SteerAuto: rules, else the flow hash, else one queue, whichever the driver takes first.
	SteerAuto
	// SteerRules: a rule for each of our end points (ntuple). All other traffic stays where it was.
	SteerRules
	// SteerHash: the flow hash leads to our queue whatever it is.
	SteerHash
	// SteerChannels: the interface has one queue.
	SteerChannels
)

var steeringNames = [...]string{"off", "manual", "auto", "ntuple", "hash", "channels"}

// String is the way's name in configuration.
func (s Steering) String() string {
	if int(s) < len(steeringNames) {
		return steeringNames[s]
	}
	return fmt.Sprintf("Steering(%d)", uint8(s))
}

// ParseSteering reads a way's name.
func ParseSteering(s string) (Steering, error) {
	for i, name := range steeringNames {
		if s == name {
			return Steering(i), nil
		}
	}
	return 0, fmt.Errorf("nic: steering %q: want %s", s, strings.Join(steeringNames[:], ", "))
}

// ErrSteering is wrapped by the error of a driver that cannot bring our flows to one queue.
var ErrSteering = errors.New("flows cannot be steered")

// Queues is how many queues an interface in the network namespace of the calling thread receives on; 1 where its driver
// does not say.
func Queues(name string) int {
	c, err := Driver(func(command []byte) error { return Ask(name, command) }).channels()
	if err != nil || c.Receive() == 0 {
		return 1
	}
	return c.Receive()
}

// Ask hands an ethtool command to the driver of an interface in the network namespace of the calling thread.
func Ask(name string, command []byte) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return ask(fd, name, command)
}

// Steer brings everything that goes to the given end points to one queue, and says how. Nothing is changed if it fails.
func (k *Keeper) Steer(how Steering, flows []netip.AddrPort, queue int) (string, error) {
	var refused []string
	for _, way := range []struct {
		how     Steering
		command string
		try     func([]netip.AddrPort, int) error
	}{
		{SteerRules, fmt.Sprintf("ethtool -N %s flow-type udp4 dst-port PORT action %d", k.record.Interface.Name, queue), k.rules},
		{SteerHash, fmt.Sprintf("ethtool -X %s start %d equal 1", k.record.Interface.Name, queue), k.hash},
		{SteerChannels, fmt.Sprintf("ethtool -L %s combined 1", k.record.Interface.Name), k.oneQueue},
	} {
		if how != SteerAuto && how != way.how {
			continue
		}
		before := len(k.record.Changes)
		err := way.try(flows, queue)
		if err == nil {
			return fmt.Sprintf("flows steered to queue %d by %s", queue, way.how), nil
		}
		refused = append(refused, fmt.Sprintf("%s: %v (`%s`)", way.how, err, way.command))
		if err := k.backTo(before); err != nil {
			return "", errors.Join(fmt.Errorf("nic: %w: %s", ErrSteering, strings.Join(refused, "; ")), err)
		}
	}
	return "", fmt.Errorf("nic: %w to queue %d of %s, driver %s: %s", ErrSteering, queue, k.record.Interface.Name,
		k.record.Interface.Driver, strings.Join(refused, "; "))
}

// backTo takes changes back until there are so many.
func (k *Keeper) backTo(n int) error {
	keep := k.record.Changes[:n:n]
	k.record.Changes = k.record.Changes[n:]
	err := k.revert()
	k.record.Changes = append(keep, k.record.Changes...)
	return errors.Join(err, k.save())
}

// rules makes one rule for each end point, and has the interface follow rules.
func (k *Keeper) rules(flows []netip.AddrPort, queue int) error {
	flags, err := k.driver.flags()
	if err != nil {
		return err
	}
	if flags&flagNtuple == 0 {
		if err := k.note(change{Kind: kindFlags, Value: flags}); err != nil {
			return err
		}
		if err := k.driver.setFlags(flags | flagNtuple); err != nil {
			return errors.Join(err, k.forget())
		}
	}
	for _, to := range flows {
		if err := k.rule(to, queue); err != nil {
			return err
		}
	}
	return nil
}

func (k *Keeper) rule(to netip.AddrPort, queue int) error {
	location, err := k.driver.freeLocation()
	if err != nil {
		return err
	}
	if location != locationAny {
		if err := k.note(change{Kind: kindRule, Value: location}); err != nil {
			return err
		}
		if _, err := k.driver.insertRule(to, queue, location); err != nil {
			return errors.Join(err, k.forget())
		}
		return nil
	}
	// The driver chooses where: only then can it be written down.
	if location, err = k.driver.insertRule(to, queue, location); err != nil {
		return err
	}
	if err := k.note(change{Kind: kindRule, Value: location}); err != nil {
		return errors.Join(err, k.driver.deleteRule(location))
	}
	return nil
}

// hash has every flow hash lead to the queue.
func (k *Keeper) hash(_ []netip.AddrPort, queue int) error {
	table, err := k.driver.indirection()
	if err != nil {
		return err
	}
	if err := k.note(change{Kind: kindIndirection, Table: table}); err != nil {
		return err
	}
	ours := make([]uint32, len(table))
	for i := range ours {
		ours[i] = uint32(queue)
	}
	if err := k.driver.setIndirection(ours); err != nil {
		return errors.Join(err, k.forget())
	}
	return nil
}

// oneQueue has the interface receive on one queue, the first.
func (k *Keeper) oneQueue(_ []netip.AddrPort, queue int) error {
	if queue != 0 {
		return fmt.Errorf("that leaves queue 0 only, not %d", queue)
	}
	was, err := k.driver.channels()
	if err != nil {
		return err
	}
	one := was
	if was.Combined > 0 {
		one.Combined, one.Rx = 1, 0
	} else {
		one.Rx = 1
	}
	if err := k.note(change{Kind: kindChannels, Channels: &was}); err != nil {
		return err
	}
	err = k.driver.setChannels(one)
	for i := 0; i < channelAttempts && errors.Is(err, syscall.EINVAL); i++ {
		time.Sleep(channelPause)
		err = k.driver.setChannels(one)
	}
	if err != nil {
		return errors.Join(err, k.forget())
	}
	return nil
}

// channelAttempts, channelPause apart, bound the wait for the kernel to let go of an AF_XDP socket that was closed just
// before, on a queue that is to go: it does so a little later.
const (
	channelAttempts = 50
	channelPause    = 10 * time.Millisecond
)
