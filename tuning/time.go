package tuning

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const groupTime = "time"

// timeItems are of the wall clock and of what keeps it.
var timeItems = []Item{
	{Name: "clock synchronisation", Group: groupTime, Wanted: "synchronised, at most 10 ms off", Weight: 3, For: everywhere,
		Why: "messages are stamped and expire by the leader's wall clock, and a new leader's may be another",
		How: "run chrony, or ptp4l and phc2sys: docs/operations.md, Clocks", Look: lookSynchronised},
	{Name: "time daemon", Group: groupTime, Wanted: "one that slews: chronyd, or ptp4l with phc2sys", Weight: 1, For: everywhere,
		Why: "without one the clock drifts by milliseconds a minute, and two of them pull it to and fro",
		How: "install chrony; have one daemon only steer the clock", Look: lookTimeDaemon},
	{Name: "leap second", Group: groupTime, Wanted: "none due", Weight: 1, For: everywhere,
		Why: "the kernel steps the clock by a second, and stamps stand still meanwhile",
		How: "have the time daemon smear it (chrony: leapsecmode slew)", Look: lookLeap},
	{Name: "PTP hardware clock", Group: groupTime, Wanted: "on the data interface", Weight: 0, For: bareMetal,
		Why:  "a card that stamps packets itself keeps time to below a microsecond",
		Look: onInterface(lookHardwareClock)},
}

// Clock is what the kernel says of the wall clock.
type Clock struct {
	Synchronised bool
	Offset       time.Duration // still to be slewed
	MaxError     time.Duration // bound that whoever steers the clock has given
	Leap         string        // what is due: empty, "insert" or "delete"
}

// maxErrorWanted bounds how far the clock may be off.
const maxErrorWanted = 10 * time.Millisecond

func kernelClock() (Clock, error) {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return Clock{}, fmt.Errorf("adjtimex: %w", err)
	}
	unit := time.Microsecond
	if t.Status&unix.STA_NANO != 0 {
		unit = time.Nanosecond
	}
	c := Clock{Synchronised: t.Status&unix.STA_UNSYNC == 0, Offset: time.Duration(t.Offset) * unit,
		MaxError: time.Duration(t.Maxerror) * time.Microsecond}
	switch state {
	case unix.TIME_INS, unix.TIME_OOP:
		c.Leap = "insert"
	case unix.TIME_DEL:
		c.Leap = "delete"
	}
	return c, nil
}

func lookSynchronised(h *Host, _ Target) Finding {
	c, err := h.Clock()
	if err != nil {
		return unreadable(err)
	}
	current := fmt.Sprintf("offset %s, at most %s off", c.Offset, c.MaxError)
	if !c.Synchronised {
		return differs("not synchronised, " + current)
	}
	return verdict(c.MaxError <= maxErrorWanted && c.Offset.Abs() <= maxErrorWanted, current)
}

// steerers are the daemons that set the system's clock. ptp4l sets the card's, unless it stamps in software.
var steerers = []string{"chronyd", "ntpd", "ntpd-rs", "phc2sys", "systemd-timesyn", "openntpd"}

func lookTimeDaemon(h *Host, _ Target) Finding {
	processes := h.glob("proc/[0-9]*/comm")
	if len(processes) == 0 {
		return unsupported("no processes are to be seen")
	}
	var steer, others []string
	for _, path := range processes {
		switch name, _ := h.read(path); {
		case slices.Contains(steerers, name) && !slices.Contains(steer, name):
			steer = append(steer, name)
		case (name == "ptp4l" || name == "timemaster") && !slices.Contains(others, name):
			others = append(others, name)
		}
	}
	all := strings.Join(append(slices.Clone(steer), others...), ", ")
	// timemaster runs chronyd or ntpd, which then asks phc2sys: they do not pull against each other.
	together := slices.Contains(others, "timemaster")
	switch {
	case len(steer) == 1 || len(steer) > 1 && together:
		return ok(all)
	case len(steer) > 1:
		return differs(all + ": each steers the clock")
	case len(others) > 0:
		return ok(all)
	}
	return differs("none found (in a container: ask the host)")
}

func lookLeap(h *Host, _ Target) Finding {
	c, err := h.Clock()
	if err != nil {
		return unreadable(err)
	}
	if c.Leap == "" {
		return ok("none due")
	}
	return differs(c.Leap + " at the end of the day")
}

func lookHardwareClock(h *Host, name string, _ Target) Finding {
	dir, err := h.netDir(name)
	if err != nil {
		return unreadable(err)
	}
	clocks := h.glob(dir + "/device/ptp/ptp*")
	if len(clocks) == 0 {
		return unsupported("%s has none", name)
	}
	words := strings.Split(clocks[0], "/")
	return ok("/dev/" + words[len(words)-1])
}
