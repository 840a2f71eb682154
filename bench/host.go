package bench

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// HostFacts are the conditions that a machine sets.
type HostFacts struct {
	Kernel string
	Cores  int
	Host   string // fingerprint of machine, kernel and processor: the same for runs that compare
}

// ThisHost reads the facts. What cannot be read is "unknown".
func ThisHost() HostFacts {
	kernel := "unknown"
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		kernel = unix.ByteSliceToString(u.Release[:])
	}
	cpu := "unknown"
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.SplitSeq(string(text), "\n") {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				cpu = strings.TrimSpace(value)
				break
			}
		}
	}
	cores := runtime.NumCPU()
	sum := sha256.Sum256(fmt.Appendf(nil, "%s|%s|%d", kernel, cpu, cores))
	return HostFacts{Kernel: kernel, Cores: cores, Host: cpu + " x" + fmt.Sprint(cores) + " " + hex.EncodeToString(sum[:4])}
}

// FileSystem names the file system under dir ("ext4", "tmpfs").
func FileSystem(dir string) string {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return "unknown"
	}
	names := map[int64]string{unix.EXT4_SUPER_MAGIC: "ext4", unix.TMPFS_MAGIC: "tmpfs", unix.XFS_SUPER_MAGIC: "xfs",
		unix.BTRFS_SUPER_MAGIC: "btrfs", unix.OVERLAYFS_SUPER_MAGIC: "overlayfs"}
	if name, ok := names[int64(st.Type)]; ok {
		return name
	}
	return fmt.Sprintf("0x%x", st.Type)
}

// CPUTimes are ticks of all cores since boot.
type CPUTimes struct{ total, steal uint64 }

// ReadCPUTimes reads /proc/stat; zero when it cannot be read.
func ReadCPUTimes() CPUTimes {
	var t CPUTimes
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return t
	}
	line, _, _ := strings.Cut(string(text), "\n")
	for i, field := range strings.Fields(line) {
		var n uint64
		if _, err := fmt.Sscan(field, &n); err != nil {
			continue
		}
		if i <= 8 { // user nice system idle iowait irq softirq steal; guest times are part of user
			t.total += n
		}
		if i == 8 {
			t.steal = n
		}
	}
	return t
}

// StealPct is how much of the time since before the hypervisor took away, in per cent.
func StealPct(before, after CPUTimes) float64 {
	if after.total <= before.total {
		return 0
	}
	return round(100 * float64(after.steal-before.steal) / float64(after.total-before.total))
}

// JitterP99Us measures the machine's own pauses: a thread reads the clock without rest for d, and every gap above 10 us
// between two readings is a pause. It returns the 99th percentile of the pauses, 0 when there were none.
func JitterP99Us(d time.Duration, nowNs func() int64) float64 {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	gaps := NewHistogram()
	last := nowNs()
	for end := last + d.Nanoseconds(); last < end; {
		now := nowNs()
		if now-last > 10_000 {
			_ = gaps.RecordValue(now - last)
		}
		last = now
	}
	return round(float64(gaps.ValueAtQuantile(99)) / 1e3)
}
