package tuning

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"
)

const queue = "sys/class/block/nvme0n1/queue/"

// onDisk are a tree's mounts, with /data on nvme0n1.
func onDisk(files map[string]string) map[string]string {
	return mounted("259:1 / /data rw,noatime - xfs /dev/nvme0n1 rw", files)
}

func mounted(line string, files map[string]string) map[string]string {
	all := map[string]string{"proc/self/mountinfo": "20 1 0:5 / / rw - tmpfs tmpfs rw\n21 20 " + line + "\n"}
	for path, text := range files {
		all[path] = text
	}
	return all
}

var disk = map[string]string{"sys/dev/block/259:1": "../../devices/pci0000:00/nvme/nvme0/nvme0n1"}

var diskCases = slices.Concat(queueCases(), []itemCase{
	{item: "disk write cache", want: OK, target: hot, links: disk,
		files: onDisk(map[string]string{queue + "write_cache": "write through"})},
	{item: "disk write cache", want: Differs, target: hot, links: disk,
		files: onDisk(map[string]string{queue + "write_cache": "write back", queue + "fua": "1"})},
	{item: "disk write cache", want: Differs, target: hot, links: disk, files: onDisk(map[string]string{
		queue + "write_cache": "write through", "sys/class/block/nvme0n1/device/scsi_disk/0:0:0:0/cache_type": "write back"})},
	{item: "disk write cache", want: OK, target: hot, links: disk, files: onDisk(map[string]string{
		queue + "write_cache": "write through", "sys/class/block/nvme0n1/device/scsi_disk/0:0:0:0/cache_type": "write through"})},
	{item: "disk write cache", want: Unsupported, target: hot, links: disk, files: onDisk(nil)},
	{item: "disk write cache", want: Unsupported, target: Target{Dir: "/mem"}, links: disk, files: onDisk(nil)},
	{item: "disk write cache", want: Unsupported},

	{item: "NVMe power saving", want: OK, target: hot, links: disk, files: onDisk(map[string]string{drive: "0"})},
	{item: "NVMe power saving", want: Differs, target: hot, links: disk, files: onDisk(map[string]string{drive: "100000"}),
		mends: drive + "=0"},
	{item: "NVMe power saving", want: OK, target: hot, links: disk, files: onDisk(map[string]string{module: "0"})},
	{item: "NVMe power saving", want: NeedsReboot, target: hot, links: disk, files: onDisk(map[string]string{module: "100000"})},
	{item: "NVMe power saving", want: NoPermission, target: hot, links: disk, files: onDisk(map[string]string{drive: "100000"}),
		refuse: map[string]error{drive: fs.ErrPermission}},
	{item: "NVMe power saving", want: Unsupported, target: hot, links: disk, files: onDisk(nil)},
	{item: "NVMe power saving", want: Unsupported, target: hot, files: onDisk(nil),
		links: map[string]string{"sys/dev/block/259:1": "../../devices/virtio/sda"}},
}, mountCases)

const (
	drive  = "sys/class/block/nvme0n1/device/power/pm_qos_latency_tolerance_us"
	module = "sys/module/nvme_core/parameters/default_ps_max_latency_us"
)

func queueCases() []itemCase {
	var cases []itemCase
	for _, c := range []struct{ item, file, good, bad, wanted string }{
		{"disk scheduler", "scheduler", "[none] mq-deadline", "none [mq-deadline]", "none"},
		{"merging of requests", "nomerges", "2", "0", "2"},
		{"disk completion", "rq_affinity", "2", "1", "2"},
		{"writeback throttling", "wbt_lat_usec", "0", "75000", "0"},
		{"disk statistics", "iostats", "0", "1", "0"},
	} {
		path := queue + c.file
		cases = append(cases,
			itemCase{item: c.item, want: OK, target: hot, links: disk, files: onDisk(map[string]string{path: c.good})},
			itemCase{item: c.item, want: Differs, target: hot, links: disk, files: onDisk(map[string]string{path: c.bad}),
				mends: path + "=" + c.wanted},
			itemCase{item: c.item, want: NoPermission, target: hot, links: disk, files: onDisk(map[string]string{path: c.bad}),
				refuse: map[string]error{path: fs.ErrPermission}},
			itemCase{item: c.item, want: Unsupported, target: hot, links: disk, files: onDisk(nil)},
			itemCase{item: c.item, want: Unsupported, target: Target{Dir: "/mem"}, files: onDisk(nil)},
			itemCase{item: c.item, want: Unsupported})
	}
	return cases
}

func withSpace(free, all uint64) func(*Host) {
	return func(h *Host) { h.Space = func(string) (uint64, uint64, error) { return free, all, nil } }
}

var mountCases = []itemCase{
	{item: "file system", want: OK, target: hot, files: onDisk(nil)},
	{item: "file system", want: OK, target: hot, files: mounted("8:1 / /data rw,relatime shared:1 - ext4 /dev/sda1 rw", nil)},
	{item: "file system", want: Differs, target: Target{Dir: "/dev/shm"}, files: onDisk(nil)},
	{item: "file system", want: Differs, target: hot, files: mounted("8:1 / /data rw - btrfs /dev/sda1 rw", nil)},
	{item: "file system", want: Differs, target: hot, files: mounted("0:40 / /data rw - nfs4 server:/x rw", nil)},
	{item: "file system", want: Unsupported, target: hot},
	{item: "file system", want: Unsupported, target: hot, files: map[string]string{"proc/self/mountinfo": "short\n"}},

	{item: "write barriers", want: OK, target: hot, files: onDisk(nil)},
	{item: "write barriers", want: Differs, target: hot, files: mounted("8:1 / /data rw - ext4 /dev/sda1 rw,nobarrier", nil)},
	{item: "write barriers", want: Differs, target: hot, files: mounted("8:1 / /data rw - ext4 /dev/sda1 rw,barrier=0", nil)},
	{item: "write barriers", want: Unsupported, target: Target{Dir: "/dev/shm"}, files: onDisk(nil)},
	{item: "write barriers", want: Unsupported},

	{item: "mount options", want: OK, target: hot, files: onDisk(nil)},
	{item: "mount options", want: Differs, target: hot, files: mounted("8:1 / /data rw,relatime - ext4 /dev/sda1 rw", nil)},
	{item: "mount options", want: Differs, target: hot, files: mounted("8:1 / /data rw,noatime - ext4 /dev/sda1 rw,discard", nil)},
	{item: "mount options", want: Unsupported},

	{item: "free space", want: OK, target: hot, host: withSpace(100<<30, 500<<30)},
	{item: "free space", want: Differs, target: hot, host: withSpace(20<<30, 500<<30)},
	{item: "free space", want: Differs, target: hot, host: withSpace(3<<30, 8<<30)},
	{item: "free space", want: Unsupported, target: hot},
	{item: "free space", want: Unsupported},
}

// TestDisksBelowAVolumeAreAllLookedAt: a RAID of two partitions below a volume is two disks.
func TestDisksBelowAVolumeAreAllLookedAt(t *testing.T) {
	c := itemCase{item: "disk scheduler", target: hot,
		files: mounted("253:0 / /data rw - xfs /dev/dm-0 rw", map[string]string{
			"sys/class/block/dm-0/slaves/md0": "", "sys/class/block/md0/slaves/sda1": "", "sys/class/block/md0/slaves/sdb1": "",
			"sys/devices/a/sda/sda1/partition": "1", "sys/devices/b/sdb/sdb1/partition": "1",
			"sys/class/block/sda/queue/scheduler": "[none] bfq", "sys/class/block/sdb/queue/scheduler": "none [bfq]"}),
		links: map[string]string{"sys/dev/block/253:0": "../../devices/virtual/block/dm-0",
			"sys/class/block/sda1": "../../devices/a/sda/sda1", "sys/class/block/sdb1": "../../devices/b/sdb/sdb1"}}
	f := findingOf(t, hostOf(t, c), c.target, c.item)
	want := []Setting{{KindFile, "sys/class/block/sdb/queue/scheduler", "none"}}
	if f.State != Differs || f.Current != "sda: none, sdb: bfq" || !slices.Equal(f.Settings, want) {
		t.Errorf("%+v", f)
	}
}

func TestMountOfTheNearestPoint(t *testing.T) {
	h := tree(t, map[string]string{"proc/self/mountinfo": "1 0 8:1 / / rw - ext4 /dev/a rw\n" +
		"2 1 8:2 / /data rw - xfs /dev/b rw\n3 1 8:3 / /data\\040two rw - f2fs /dev/c rw\n4 2 8:4 / /data rw - btrfs /dev/d rw\n"})
	for dir, want := range map[string]string{"/data/node": "btrfs", "/data": "btrfs", "/database": "ext4", "/data two/x": "f2fs"} {
		if m, err := h.mountOf(dir); err != nil || m.kind != want {
			t.Errorf("%s is on %s (%v), want %s", dir, m.kind, err, want)
		}
	}
}

func TestSpaceOfADirectoryThatIsToBeMade(t *testing.T) {
	free, all, err := fileSpace(t.TempDir() + "/node/1")
	if err != nil || free == 0 || free > all {
		t.Errorf("%d of %d, %v", free, all, err)
	}
	if _, _, err := fileSpace("\x00"); err == nil || errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "statfs") {
		t.Errorf("a path that cannot be: %v", err)
	}
}
