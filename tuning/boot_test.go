package tuning

import (
	"io/fs"
	"testing"
)

const (
	isolated = cpus + "isolated"
	tickless = cpus + "nohz_full"
	cmdline  = "proc/cmdline"
	vulner   = cpus + "vulnerabilities/"
)

var hot = Target{Interface: "eth9", Dir: "/data", Cores: []int{2, 5}}

var bootCases = []itemCase{
	{item: "isolated cores", want: OK, files: map[string]string{isolated: "2-3,5\n"}, target: hot},
	{item: "isolated cores", want: OK, files: map[string]string{isolated: "2-3,5\n"}},
	{item: "isolated cores", want: NeedsReboot, files: map[string]string{isolated: "4\n"}, target: hot},
	{item: "isolated cores", want: NeedsReboot, files: map[string]string{isolated: "\n"}, target: hot},
	{item: "isolated cores", want: Unsupported, files: map[string]string{isolated: "x-y"}, target: hot},
	{item: "isolated cores", want: Unsupported, target: hot},
	{item: "isolated cores", want: NoPermission, files: map[string]string{isolated: "2"}, target: hot,
		refuse: map[string]error{isolated: fs.ErrPermission}},

	{item: "tickless cores", want: OK, files: map[string]string{tickless: "2,5\n"}, target: hot},
	{item: "tickless cores", want: NeedsReboot, files: map[string]string{tickless: "(null)\n"}, target: hot},
	{item: "tickless cores", want: NeedsReboot, files: map[string]string{tickless: "5-7\n"}, target: hot},
	{item: "tickless cores", want: Unsupported, target: hot},

	{item: "RCU callbacks", want: OK, files: map[string]string{cmdline: "quiet rcu_nocbs=2-5"}, target: hot},
	{item: "RCU callbacks", want: OK, files: map[string]string{cmdline: "quiet rcu_nocbs=all"}, target: hot},
	{item: "RCU callbacks", want: OK, files: map[string]string{cmdline: "quiet", tickless: "2,5"}, target: hot},
	{item: "RCU callbacks", want: NeedsReboot, files: map[string]string{cmdline: "quiet rcu_nocbs=2"}, target: hot},
	{item: "RCU callbacks", want: NeedsReboot, files: map[string]string{cmdline: "quiet rcu_nocbs=some"}, target: hot},
	{item: "RCU callbacks", want: NeedsReboot, files: map[string]string{cmdline: "quiet"}, target: hot},
	{item: "RCU callbacks", want: Unsupported, target: hot},

	{item: "clock watchdog", want: OK, files: map[string]string{cmdline: "tsc=nowatchdog quiet"}},
	{item: "clock watchdog", want: NeedsReboot, files: map[string]string{cmdline: "quiet"}},
	{item: "clock watchdog", want: Unsupported},
	{item: "staggered ticks", want: OK, files: map[string]string{cmdline: "skew_tick=1"}},
	{item: "staggered ticks", want: NeedsReboot, files: map[string]string{cmdline: "skew_tick=10"}},
	{item: "staggered ticks", want: Unsupported},
	{item: "audit", want: OK, files: map[string]string{cmdline: "audit=0", "proc/self/loginuid": "0"}},
	{item: "audit", want: NeedsReboot, files: map[string]string{cmdline: "quiet", "proc/self/loginuid": "0"}},
	{item: "audit", want: Unsupported, files: map[string]string{cmdline: "quiet"}},
	{item: "IOMMU", want: OK, files: map[string]string{"sys/kernel/iommu_groups/0/type": "identity"}},
	{item: "IOMMU", want: NeedsReboot, files: map[string]string{"sys/kernel/iommu_groups/0/type": "identity",
		"sys/kernel/iommu_groups/1/type": "DMA-FQ"}},
	{item: "IOMMU", want: Unsupported},
	{item: "idle parameters", want: OK, files: map[string]string{cmdline: "idle=poll"}},
	{item: "idle parameters", want: OK, files: map[string]string{cmdline: "quiet"}},
	{item: "idle parameters", want: Unsupported},
	{item: "mitigations", want: OK, files: map[string]string{vulner + "meltdown": "Not affected",
		vulner + "mds": "Mitigation: Clear CPU buffers", vulner + "srbds": "Vulnerable"}},
	{item: "mitigations", want: Unsupported},
}

func TestLineForTheBootLoader(t *testing.T) {
	h := tree(t, map[string]string{isolated: "", tickless: "(null)", cmdline: "quiet rcu_nocbs=2,5 skew_tick=1"})
	if line := BootLine(Check(h, hot)); line != "isolcpus=domain,managed_irq,2,5 nohz_full=2,5 tsc=reliable" {
		t.Errorf("the line is %q", line)
	}
}
