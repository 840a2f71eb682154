package tuning

import (
	"errors"
	"io/fs"
	"testing"
	"time"
)

func withClock(c Clock, err error) func(*Host) {
	return func(h *Host) { h.Clock = func() (Clock, error) { return c, err } }
}

// running are processes by name.
func running(names ...string) map[string]string {
	files := map[string]string{"proc/1/comm": "init"}
	for i, name := range names {
		files["proc/"+string(rune('2'+i))+"/comm"] = name + "\n"
	}
	return files
}

var timeCases = []itemCase{
	{item: "clock synchronisation", want: OK, host: withClock(Clock{Synchronised: true, MaxError: time.Millisecond}, nil)},
	{item: "clock synchronisation", want: Differs, host: withClock(Clock{MaxError: 16 * time.Second}, nil)},
	{item: "clock synchronisation", want: Differs, host: withClock(Clock{Synchronised: true, MaxError: time.Second}, nil)},
	{item: "clock synchronisation", want: Differs,
		host: withClock(Clock{Synchronised: true, Offset: -20 * time.Millisecond}, nil)},
	{item: "clock synchronisation", want: NoPermission, host: withClock(Clock{}, fs.ErrPermission)},
	{item: "clock synchronisation", want: Unsupported, host: withClock(Clock{}, errors.New("no clock"))},

	{item: "time daemon", want: OK, files: running("chronyd")},
	{item: "time daemon", want: OK, files: running("ptp4l", "phc2sys")},
	{item: "time daemon", want: OK, files: running("timemaster", "chronyd", "ptp4l", "phc2sys")},
	{item: "time daemon", want: Differs, files: running("chronyd", "phc2sys")},
	{item: "time daemon", want: Differs, files: running()},
	{item: "time daemon", want: Unsupported},

	{item: "leap second", want: OK, host: withClock(Clock{}, nil)},
	{item: "leap second", want: Differs, host: withClock(Clock{Leap: "insert"}, nil)},
	{item: "leap second", want: Unsupported},

	{item: "PTP hardware clock", want: OK, target: hot, files: onEth9(map[string]string{class + "device/ptp/ptp1/clock_name": "x"})},
	{item: "PTP hardware clock", want: Unsupported, target: hot, files: onEth9(nil)},
}

func TestTheKernelsClockIsRead(t *testing.T) {
	if c, err := kernelClock(); err != nil || c.MaxError < 0 {
		t.Errorf("%+v, %v", c, err)
	}
}
