package tuning

import "golang.org/x/sys/unix"

const (
	cpu0     = "sys/devices/system/cpu/cpu0/"
	governor = cpu0 + "cpufreq/scaling_governor"
	idle     = cpu0 + "cpuidle/state2/"
	clock    = "sys/devices/system/clocksource/clocksource0/"
)

var cpuCases = []itemCase{
	{item: "frequency governor", want: OK, files: map[string]string{governor: "performance"}},
	{item: "frequency governor", want: Differs, files: map[string]string{governor: "powersave"},
		mends: governor + "=performance"},
	{item: "frequency governor", want: NoPermission, files: map[string]string{governor: "powersave"},
		refuse: map[string]error{governor: unix.EROFS}},
	{item: "frequency governor", want: Unsupported},
	{item: "deep idle states", want: OK, files: map[string]string{idle + "latency": "2", idle + "disable": "0"}},
	{item: "deep idle states", want: Differs,
		files: map[string]string{idle + "latency": "100", idle + "disable": "0", idle + "name": "C6"}, mends: idle + "disable=1"},
	{item: "deep idle states", want: OK, files: map[string]string{idle + "latency": "100", idle + "disable": "1"}},
	{item: "deep idle states", want: Unsupported, files: map[string]string{idle + "latency": "soon"}},
	{item: "deep idle states", want: Unsupported},
	{item: "clock source", want: OK, files: map[string]string{clock + "current_clocksource": "tsc"}},
	{item: "clock source", want: Differs, files: map[string]string{clock + "current_clocksource": "hpet"}},
	{item: "clock source", want: Differs, mends: clock + "current_clocksource=tsc",
		files: map[string]string{clock + "current_clocksource": "hpet", clock + "available_clocksource": "hpet tsc acpi_pm"}},
	{item: "clock source", want: Unsupported},
	{item: "hypervisor", want: OK, files: map[string]string{"proc/cpuinfo": "flags\t: fpu tsc\n"}},
	{item: "hypervisor", want: Differs, files: map[string]string{"proc/cpuinfo": "flags\t: fpu hypervisor tsc\n"}},
	{item: "hypervisor", want: Unsupported},
}
