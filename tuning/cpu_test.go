package tuning

import (
	"testing"

	"golang.org/x/sys/unix"
)

const (
	cpu0       = cpus + "cpu0/"
	governor   = cpu0 + "cpufreq/scaling_governor"
	preference = cpu0 + "cpufreq/energy_performance_preference"
	bias       = cpu0 + "power/energy_perf_bias"
	lowest     = cpus + "intel_pstate/min_perf_pct"
	platform   = "sys/firmware/acpi/platform_profile"
	idle       = cpu0 + "cpuidle/state2/"
	clock      = "sys/devices/system/clocksource/clocksource0/"
	siblings2  = cpus + "cpu2/topology/thread_siblings_list"
	siblings5  = cpus + "cpu5/topology/thread_siblings_list"
	throttled  = cpu0 + "thermal_throttle/core_throttle_count"
)

var cpuCases = []itemCase{
	{item: "energy preference", want: OK, files: map[string]string{preference: "performance"}},
	{item: "energy preference", want: Differs, files: map[string]string{preference: "balance_power"},
		mends: preference + "=performance"},
	{item: "energy preference", want: Unsupported},
	{item: "energy bias", want: OK, files: map[string]string{bias: "0"}},
	{item: "energy bias", want: Differs, files: map[string]string{bias: "6"}, mends: bias + "=0"},
	{item: "energy bias", want: Unsupported},
	{item: "frequency governor", want: OK, files: map[string]string{governor: "performance"}},
	{item: "frequency governor", want: Differs, files: map[string]string{governor: "powersave"},
		mends: governor + "=performance"},
	{item: "frequency governor", want: NoPermission, files: map[string]string{governor: "powersave"},
		refuse: map[string]error{governor: unix.EROFS}},
	{item: "frequency governor", want: Unsupported},
	{item: "lowest frequency", want: OK, files: map[string]string{lowest: "100"}},
	{item: "lowest frequency", want: Differs, files: map[string]string{lowest: "27"}, mends: lowest + "=100"},
	{item: "lowest frequency", want: Unsupported},
	{item: "platform profile", want: OK,
		files: map[string]string{platform: "performance", platform + "_choices": "quiet balanced performance"}},
	{item: "platform profile", want: Differs, mends: platform + "=performance",
		files: map[string]string{platform: "balanced", platform + "_choices": "quiet balanced performance"}},
	{item: "platform profile", want: Unsupported,
		files: map[string]string{platform: "balanced", platform + "_choices": "quiet balanced"}},
	{item: "turbo", want: OK, files: map[string]string{cpus + "intel_pstate/no_turbo": "0"}},
	{item: "turbo", want: OK, files: map[string]string{cpus + "cpufreq/boost": "0"}},
	{item: "turbo", want: Unsupported},

	{item: "deep idle states", want: OK, files: map[string]string{idle + "latency": "2", idle + "disable": "0"}},
	{item: "deep idle states", want: Differs, mends: idle + "disable=1",
		files: map[string]string{idle + "latency": "100", idle + "disable": "0", idle + "name": "C6"}},
	{item: "deep idle states", want: OK, target: hot,
		files: map[string]string{idle + "latency": "100", idle + "disable": "0", idle + "name": "C6"}},
	{item: "deep idle states", want: OK, files: map[string]string{idle + "latency": "100", idle + "disable": "1"}},
	{item: "deep idle states", want: OK,
		files: map[string]string{idle + "latency": "100", idle + "disable": "0", latencyFile: "\x00\x00\x00\x00"}},
	{item: "deep idle states", want: Differs,
		files: map[string]string{idle + "latency": "100", idle + "disable": "0", latencyFile: "\x00\x94\x35\x77"}},
	{item: "deep idle states", want: Unsupported, files: map[string]string{idle + "latency": "soon"}},
	{item: "deep idle states", want: Unsupported},

	{item: "hyper-threads", want: OK, files: map[string]string{cpus + "smt/control": "forceoff"}, target: hot},
	{item: "hyper-threads", want: OK, target: hot, files: map[string]string{siblings2: "2", siblings5: "5"}},
	{item: "hyper-threads", want: OK, target: hot,
		files: map[string]string{siblings2: "2,6", siblings5: "1,5", isolated: "1-2,5-6", cpus + "smt/control": "on"}},
	{item: "hyper-threads", want: Differs, target: hot, mends: cpus + "cpu6/online=0",
		files: map[string]string{siblings2: "2,6", siblings5: "5", cpus + "cpu6/online": "1"},
		host:  offlineSiblings},
	{item: "hyper-threads", want: Differs, target: hot, files: map[string]string{siblings2: "2,5", siblings5: "2,5"}},
	{item: "hyper-threads", want: Unsupported},
	{item: "throttling", want: OK, files: map[string]string{throttled: "0"}},
	{item: "throttling", want: Differs, files: map[string]string{throttled: "17"}},
	{item: "throttling", want: Unsupported},

	{item: "clock source", want: OK, files: map[string]string{clock + "current_clocksource": "tsc"}},
	{item: "clock source", want: Differs, files: map[string]string{clock + "current_clocksource": "hpet"}},
	{item: "clock source", want: Differs, mends: clock + "current_clocksource=tsc",
		files: map[string]string{clock + "current_clocksource": "hpet", clock + "available_clocksource": "hpet tsc acpi_pm"}},
	{item: "clock source", want: Unsupported},
	{item: "hypervisor", want: OK, files: map[string]string{"proc/cpuinfo": "flags\t: fpu tsc\n"}},
	{item: "hypervisor", want: Differs, files: map[string]string{"proc/cpuinfo": "flags\t: fpu hypervisor tsc\n"}},
	{item: "hypervisor", want: Unsupported},
	{item: "stolen time", want: OK, files: map[string]string{"proc/stat": "cpu  100000 0 0 0 0 0 0 50 0 0\n"}},
	{item: "stolen time", want: Differs, files: map[string]string{"proc/stat": "cpu  100000 0 0 0 0 0 0 500 0 0\n"}},
	{item: "stolen time", want: Unsupported, files: map[string]string{"proc/stat": "cpu 1 2 3\n"}},
	{item: "stolen time", want: Unsupported},
}

// offlineSiblings has the kernel's side of taking core 6 down: its sibling's list no longer names it.
func offlineSiblings(h *Host) { h.Register(KindFile, downWithSix{files{h.Root}}) }

type downWithSix struct{ files }

func (d downWithSix) Read(name string) (string, error) {
	if down, _ := d.files.Read(cpus + "cpu6/online"); name == siblings2 && down == "0" {
		return "2", nil
	}
	return d.files.Read(name)
}

// What holds idle states off is seen by the check, and ends when it is closed.
func TestHeldLatencyIsZero(t *testing.T) {
	h := tree(t, map[string]string{latencyFile: "\x00\x94\x35\x77"})
	held, err := HoldLatency(h)
	if err != nil {
		t.Fatal(err)
	}
	if us, err := h.heldLatency(); us != 0 || err != nil {
		t.Errorf("held at %d us, %v", us, err)
	}
	if err := held.Close(); err != nil {
		t.Error(err)
	}
	if _, err := HoldLatency(tree(t, nil)); err == nil {
		t.Error("held what is not there")
	}
}
