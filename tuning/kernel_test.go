package tuning

import (
	"io/fs"
	"maps"

	"golang.org/x/sys/unix"
)

const (
	online    = cpus + "online"
	workqueue = "sys/devices/virtual/workqueue/cpumask"
	writeback = "sys/devices/virtual/workqueue/writeback/cpumask"
	ignore    = "sys/devices/system/machinecheck/machinecheck0/ignore_ce"
)

func readOnly(path string) map[string]error { return map[string]error{path: unix.EROFS} }
func secret(path string) map[string]error   { return map[string]error{path: fs.ErrPermission} }

// thread are a kernel thread's files.
func thread(pid, name, cores string) map[string]string {
	dir := "proc/" + pid + "/"
	return map[string]string{dir + "comm": name, dir + "cmdline": "", online: "0-7",
		dir + "status": "Name:\t" + name + "\nCpus_allowed_list:\t" + cores + "\nMems_allowed:\t1\n"}
}

func both(a, b map[string]string) map[string]string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// bound is a host that refuses to move threads.
func bound(err error) func(*Host) {
	return func(h *Host) { h.Register(KindAffinity, boundThreads{affinities{h: h, tree: true}, err}) }
}

type boundThreads struct {
	affinities
	err error
}

func (b boundThreads) Write(string, string) error { return b.err }

var kernelCases = append(append([]itemCase{
	{item: "machine check polling", want: OK, files: map[string]string{ignore: "1"}},
	{item: "machine check polling", want: Differs, files: map[string]string{ignore: "0"}, mends: ignore + "=1"},
	{item: "machine check polling", want: Unsupported},
	{item: "RCU threads", want: OK, target: hot, files: both(thread("12", "rcuog/0", "0-1"), thread("13", "rcuop/0", "3"))},
	{item: "RCU threads", want: Differs, target: hot, files: both(thread("12", "rcuog/0", "0-7"), thread("13", "rcuop/0", "3"))},
	{item: "RCU threads", want: Immovable, target: hot, files: thread("12", "rcuc/5", "5"), host: bound(unix.EINVAL)},
	{item: "RCU threads", want: NoPermission, target: hot, files: thread("12", "rcuog/0", "0-7"), host: bound(unix.EPERM)},
	{item: "RCU threads", want: Unsupported, target: hot, files: thread("12", "kswapd0", "0-7")},
	{item: "RCU threads", want: Unsupported, files: thread("12", "rcuog/0", "0-7")},
	{item: "PCIe power", want: Immovable, files: map[string]string{"sys/module/pcie_aspm/parameters/policy": "[default] performance"},
		refuse: map[string]error{"sys/module/pcie_aspm/parameters/policy": unix.EIO}},
	{item: "real-time throttle", want: OK, files: map[string]string{sysKernel + "sched_rt_runtime_us": "950000",
		sysKernel + "sched_rt_period_us": "1000000"}},
	{item: "real-time throttle", want: OK, files: map[string]string{sysKernel + "sched_rt_runtime_us": "-1"}},
	{item: "real-time throttle", want: Unsupported},
}, maskCases("workqueues", workqueue, "writeback workqueue", writeback)...), oneFile(
	"expedited RCU", "sys/kernel/rcu_normal", "1", "0", "1",
	"soft lockup watchdog", sysKernel+"soft_watchdog", "0", "1", "0",
	"NMI watchdog", sysKernel+"nmi_watchdog", "0", "1", "0",
	"timer migration", sysKernel+"timer_migration", "0", "1", "0",
	"statistics interval", vm+"stat_interval", "60", "1", "10",
	"split locks", sysKernel+"split_lock_mitigate", "0", "1", "0",
	"PCIe power", "sys/module/pcie_aspm/parameters/policy", "default [performance] powersave",
	"[default] performance powersave", "performance",
)...)

// maskCases are those of items that keep a mask off the hot cores: name and path.
func maskCases(words ...string) []itemCase {
	var cases []itemCase
	for ; len(words) > 0; words = words[2:] {
		item, path := words[0], words[1]
		cases = append(cases,
			itemCase{item: item, want: OK, target: hot, files: map[string]string{path: "00000000,0000001b", online: "0-7"}},
			itemCase{item: item, want: Differs, target: hot, files: map[string]string{path: "ff", online: "0-7"},
				mends: path + "=db"},
			itemCase{item: item, want: NoPermission, target: hot, files: map[string]string{path: "ff", online: "0-7"},
				refuse: readOnly(path)},
			itemCase{item: item, want: Unsupported, target: hot, files: map[string]string{path: "all", online: "0-7"}},
			itemCase{item: item, want: Unsupported, target: hot, files: map[string]string{path: "ff", online: "2,5"}},
			itemCase{item: item, want: Unsupported, target: hot, files: map[string]string{online: "0-7"}},
			itemCase{item: item, want: Unsupported, files: map[string]string{path: "ff", online: "0-7"}})
	}
	return cases
}
